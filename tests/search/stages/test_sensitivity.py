from itertools import chain

from search.stages.sensitivity import measure_sensitivities, split_evenly
from spaces.plan import PruningGroup
from spaces.space import Space


def test_a_resumed_run_has_the_curves_it_found(run, survey):
    run.finish_stage("sensitivity", {"a": [(0.5, 0.1), (0.75, 0.4)], "b": []})
    assert survey(measure_sensitivities, Space((PruningGroup("a", 64),))) == {
        "a": [(0.5, 0.1), (0.75, 0.4)],
        "b": [],
    }


def test_groups_are_measured_in_parts_that_hold_each_once():
    names = [f"group {number}" for number in range(20)]
    parts = split_evenly(names, 2)
    assert len(parts) == 6 and sorted(chain(*parts.values())) == sorted(names)
    assert max(map(len, parts.values())) - min(map(len, parts.values())) <= 1
    assert split_evenly(names[:2], 8) == {names[0]: names[:1], names[1]: names[1:2]}
    # A head alone in a cluster may have no core of its own.
    assert split_evenly(names, 0) == {names[0]: names} and split_evenly([], 2) == {}
