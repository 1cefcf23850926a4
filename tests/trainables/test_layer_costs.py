"""What INT8 costs in each layer of the tiny network, on the real engine."""

import pytest

from spaces.errors import TrialError
from trainables.context import TrialContext
from trainables.files.node import Node
from trainables.layer_costs import LayerProbe, measure_layers


@pytest.fixture(scope="module")
def fresh(context, tmp_path_factory):
    """A context with an empty cache."""
    settings = context.settings.having(cache_folder=str(tmp_path_factory.mktemp("cache")))
    return TrialContext(settings, context.baseline, Node())


def test_layers_are_measured_once(fresh, monkeypatch):
    layers = ["conv1", "conv2"]
    first = measure_layers(layers, fresh)
    assert [(cost.layer, cost.reason, cached) for cost, cached in first] == [
        ("conv1", None, False),
        ("conv2", None, False),
    ]
    for cost, _ in first:
        assert abs(cost.metric_loss) < 0.2
        assert cost.latency_ratio > 0
    # The outputs are nearer to the float model's for at least one of them.
    assert max(cost.damage for cost, _ in first) > 0
    monkeypatch.setattr(LayerProbe, "__init__", None)
    assert measure_layers(layers, fresh) == [(cost, True) for cost, _ in first]


def test_another_calibration_is_another_measurement(fresh, monkeypatch):
    def ends(self, context, folder):
        raise TrialError("measured")

    monkeypatch.setattr(LayerProbe, "__init__", ends)
    other = TrialContext(fresh.settings.having(calibration="avg"), fresh.baseline, Node())
    with pytest.raises(TrialError, match="measured"):
        measure_layers(["conv1"], other)


def test_a_layer_that_cannot_be_measured_is_named_with_the_reason(fresh):
    ((cost, cached),) = measure_layers(["nowhere"], fresh)
    assert (cost.layer, cached) == ("nowhere", False)
    assert cost.metric_loss is cost.damage is cost.latency_ratio is None
    assert "no layer nowhere" in cost.reason
