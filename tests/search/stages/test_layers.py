"""Whether a study measures what INT8 costs in each layer; workers do so in whole runs."""

from functools import partial

import pytest

from search.stages import layers
from search.stages.layers import measure_layer_costs, mix_layers
from spaces.errors import RunFolderError
from spaces.mixing import Int8Costs, LayerCost
from spaces.plan import MixedInt8, Plan, PruningGroup, QuantizationChoice
from spaces.space import Space

FLOAT, BF16 = QuantizationChoice.FLOAT, QuantizationChoice.BFLOAT16
PTQ = QuantizationChoice.INT8_PTQ
SPACE = Space((PruningGroup("a", 64),), (FLOAT, BF16, PTQ))
TIMINGS = [(Plan(), 1.0), (Plan.of({}, BF16), 0.5), (layers.WHOLE, 0.4)]
COSTS = Int8Costs(
    metric_loss=0.06,
    damage=0.3,
    latency_ratio=0.4,
    layers=tuple(LayerCost(f"conv{i}", 0.0, 0.1 / (1 + i), 1.1) for i in range(6)),
)


WHOLE_TRIED = (Plan.of({"a": 0.5}, PTQ),)


def mixed_by(survey, timings=TIMINGS, tried=(), layer_precision=True):
    stage = partial(mix_layers, timings=timings, tried=tried)
    return survey(stage, SPACE, layer_precision=layer_precision)


def test_a_resumed_run_has_the_mixtures_it_found(run, survey, capsys):
    run.finish_stage("layers", COSTS)
    space, int8 = mixed_by(survey, tried=WHOLE_TRIED)
    # With four layers in float it would take longer than in bfloat16.
    assert space.mixed == (MixedInt8(("conv0",)), MixedInt8(("conv0", "conv1")))
    assert int8 == COSTS
    assert "mixtures of INT8 and float, by layers in float: 1, 2" in capsys.readouterr().out


@pytest.mark.parametrize("left", [None, Int8Costs(0.06, 0.3, 0.4)])
def test_a_run_that_has_lost_the_layers_of_its_mixtures_is_refused_in_one_line(run, survey, left):
    tried = [*WHOLE_TRIED, Plan.of({"a": 0.5}, PTQ, ["conv0"])]
    run.finish_stage("layers", COSTS)
    assert mixed_by(survey, tried=tried)[1] == COSTS
    if left is None:
        run.forget_stage("layers")
    else:
        run.finish_stage("layers", left)
    with pytest.raises(RunFolderError, match=r"stages/layers\.json is missing.*conv0") as caught:
        mixed_by(survey, tried=tried)
    assert len(str(caught.value).splitlines()) == 1


def test_a_resumed_run_that_did_not_measure_them_has_no_mixtures(run, survey):
    run.finish_stage("layers", Int8Costs(0.001, 0.001, 0.4))
    assert mixed_by(survey) == (SPACE, None)


def test_a_run_of_an_older_version_whose_search_has_begun_goes_on_without(run, survey):
    assert mixed_by(survey, tried=WHOLE_TRIED) == (SPACE, None)


@pytest.mark.parametrize("timings", [None, TIMINGS[:2]])
def test_without_the_latency_of_int8_nothing_is_measured(run, survey, timings):
    assert mixed_by(survey, timings) == (SPACE, None)
    assert run.stage("layers") is None


def test_it_can_be_switched_off(run, survey):
    assert mixed_by(survey, layer_precision=False) == (SPACE, None)


def test_layers_that_are_all_known_need_no_worker(survey, capsys):
    names = [cost.layer for cost in COSTS.layers]

    def measured(study, unpruned, _):
        return measure_layer_costs(study, unpruned, names, COSTS.layers[::-1])

    assert survey(measured, SPACE) == [*COSTS.layers]
    assert "6 of them known from the cache" in capsys.readouterr().out
