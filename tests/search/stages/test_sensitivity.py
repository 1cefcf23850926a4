from search.stages.sensitivity import measure_sensitivities
from spaces.plan import PruningGroup
from spaces.space import Space


def test_a_resumed_run_has_the_curves_it_found(run, survey):
    run.finish_stage("sensitivity", {"a": [(0.5, 0.1), (0.75, 0.4)], "b": []})
    assert survey(measure_sensitivities, Space((PruningGroup("a", 64),))) == {
        "a": [(0.5, 0.1), (0.75, 0.4)],
        "b": [],
    }
