"""A network in which INT8 in one layer loses nearly everything: measured, tried and put back."""

import pytest

from spaces.mixing import Int8Costs
from spaces.plan import Plan, QuantizationChoice
from trainables.context import TrialContext
from trainables.deployment.engines.registry import load_engine
from trainables.files.node import Node
from trainables.final import float_precision
from trainables.layer_costs import LayerProbe, measure_int8, measure_layers
from trainables.trial import run_trial

PTQ = QuantizationChoice.INT8_PTQ


@pytest.fixture(scope="module")
def uneven(context, tiny_weights, tmp_path_factory):
    """A context of the network with one channel of large weights."""
    from tests.helpers.tiny.mine import Uneven
    from trainables.baseline import measure_baseline

    folder = tmp_path_factory.mktemp("uneven")
    settings = context.settings.having(
        task="tests.helpers.tiny.mine:make_uneven",
        run_folder=str(folder),
        cache_folder=str(folder / "cache"),
    )
    baseline = measure_baseline(Uneven(tiny_weights), settings)
    # It computes what the even network does.
    assert baseline.metric == pytest.approx(context.baseline.metric, abs=0.005)
    return TrialContext(settings, baseline, Node())


@pytest.fixture(scope="module")
def int8(uneven):
    whole, known = measure_int8(uneven)
    assert not known
    costs = [cost for cost, _ in measure_layers(whole.layers, uneven)]
    return whole, Int8Costs(whole.metric_loss, whole.damage, 0.5, tuple(costs))


def test_the_layer_that_int8_hurts_is_the_first_to_be_put_back(int8):
    whole, costs = int8
    assert {"conv1", "conv2"} <= {*whole.layers}
    assert whole.metric_loss > 0.2
    assert whole.seconds > 0
    mixed = costs.mixtures(fastest=10.0)
    assert mixed[0].float_layers == ("conv2",)
    assert costs.loss_left(mixed[0]) < 0.2
    losses = {cost.layer: cost.metric_loss for cost in costs.layers}
    assert losses["conv2"] < 0.05 < losses["conv1"]


def test_int8_throughout_and_in_each_layer_is_measured_once(uneven, int8, monkeypatch):
    whole, costs = int8
    monkeypatch.setattr(LayerProbe, "__init__", None)
    # With the costs that need no time, so that a run without time has them too.
    assert measure_int8(uneven) == (whole, [*costs.layers])


def test_int8_that_cannot_be_measured_has_a_reason(uneven, monkeypatch, tmp_path):
    def fails(self, context, folder):
        raise RuntimeError("no such operator")

    monkeypatch.setattr(LayerProbe, "__init__", fails)
    empty = uneven.settings.having(cache_folder=str(tmp_path))
    found, _ = measure_int8(TrialContext(empty, uneven.baseline, Node()))
    assert found.metric_loss is None
    assert "no such operator" in found.reason


def test_a_pruned_trial_keeps_the_layer_of_its_unpruned_name_in_float(uneven, int8):
    mixed = int8[1].mixtures(fastest=10.0)[0]
    # At the usual rate the training of the large weights diverges.
    slow = uneven.settings.having(learning_rate=1e-6)
    trials = TrialContext(slow, uneven.baseline, Node())
    losses = []
    for number, plan in enumerate(Plan.of({"conv2.weight": 0.25}, one) for one in (mixed, PTQ)):
        *_, result = run_trial(number, plan, trials)
        assert result.layers["conv2"] == ("float" if plan.float_layers else "int8")
        if plan.float_layers:
            # As the manifest says, of what is loaded from the files alone.
            engine = load_engine(slow.candidate_folder(number), "int8", slow)
            assert float_precision(engine) == "float"
        losses.append(result.metric_loss)
    assert losses[0] < losses[1] - 0.1
