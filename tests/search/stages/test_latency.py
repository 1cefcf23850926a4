from search.config import RunConfig
from search.context import StudyContext
from search.records.clock import StageClock
from search.stages.latency import time_shapes
from spaces.plan import Plan, PruningGroup, QuantizationChoice
from spaces.space import Space
from tests.search.made_run import baseline

FLOAT, PTQ = QuantizationChoice.FLOAT, QuantizationChoice.INT8_PTQ
GROUPS = (PruningGroup("a", 64), PruningGroup("b", 32), PruningGroup("c", 20))
SPACE = Space(GROUPS, (FLOAT, PTQ))


def test_a_resumed_run_has_the_timings_it_found(run, survey):
    plans = [Plan.of({}, FLOAT), Plan.of({"a": 0.5, "b": 0.25}, PTQ)]
    run.finish_stage("latency", [(plans[0], 1.0), (plans[1], 0.25)])
    assert survey(time_shapes, SPACE) == [(plans[0], 1.0), (plans[1], 0.25)]


def test_a_resumed_run_that_could_time_nothing_does_not_try_again(run, survey):
    run.finish_stage("latency", [])
    assert survey(time_shapes, SPACE) == []


def test_a_process_that_timed_large_models_is_not_used_again(run):
    context = StudyContext(RunConfig(budget=0.1), run, None, None, None, None, None, StageClock())
    small, large = (baseline(size_bytes=size) for size in (3_000_000, 97_000_000))
    assert context.timing_placement(large, 2).own_process
    assert context.timing_placement(small, 2) == context.placement(timed=True, cpus=2)
