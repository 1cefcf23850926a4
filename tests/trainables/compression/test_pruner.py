import numpy as np
import paddle
import pytest

from tests.trainables.compression.networks import (
    EVERY,
    IMAGE,
    Chain,
    Depthwise,
    Flattened,
    Normalized,
    Residual,
)
from trainables.compression.pruner import ChannelPruner


def image():
    paddle.seed(0)
    return paddle.rand([2, 3, 16, 16])


def with_statistics(model):
    """Give batch norms random values: those of new ones are all equal."""
    rng = np.random.default_rng(0)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if "norm" in name:
            tensor.set_value(rng.uniform(0.5, 1.5, tensor.shape).astype("f4"))
    return model


@pytest.mark.parametrize("name", EVERY)
def test_every_group_pruned_computes_the_same_as_zeroed(name):
    model = with_statistics(EVERY[name]())
    pruner = ChannelPruner(model, IMAGE)
    x = image()
    whole = model(x).numpy()
    for group in pruner.groups:
        masked = pruner.masked({group: 0.5})
        before = {key: value.numpy() for key, value in model.state_dict().items()}
        model.set_state_dict(masked)
        expected = model(x).numpy()
        model.set_state_dict(before)
        width = pruner.width(group)
        pruner.prune({group: 0.5})
        assert pruner.width(group) == width - round(0.5 * width)
        assert model(x).numpy() == pytest.approx(expected, abs=1e-5)
        pruner.restore()
        assert (model(x).numpy() == whole).all()


@pytest.mark.parametrize("name", EVERY)
def test_all_groups_at_once(name):
    model = EVERY[name]()
    pruner = ChannelPruner(model, IMAGE)
    before = sum(p.numel().item() for p in model.parameters())
    pruner.prune(dict.fromkeys(pruner.groups, 0.5))
    assert model(image()).shape == [2, 4]
    assert sum(p.numel().item() for p in model.parameters()) < 0.75 * before


def test_the_least_important_channels_are_removed():
    model = Chain()
    rows = -np.arange(1, 9, dtype="f4").reshape(8, 1, 1, 1)
    model.first.weight.set_value(np.broadcast_to(rows, (8, 3, 3, 3)).copy())
    pruner = ChannelPruner(model, IMAGE)
    assert pruner.removed({"first.weight": 0.25})[("first.weight", 0)].tolist() == [0, 1]


def test_importance_is_summed_over_all_weights_that_produce_the_channel():
    model = Residual()
    pruner = ChannelPruner(model, IMAGE)
    first, outer = (abs(w.numpy()).sum((1, 2, 3)) for w in (model.first.weight, model.outer.weight))
    assert pruner.importance(pruner.groups["first.weight"]) == pytest.approx(first + outer)


def test_one_channel_always_remains():
    model = Chain()
    pruner = ChannelPruner(model, IMAGE)
    pruner.prune({"first.weight": 0.99})
    assert pruner.width("first.weight") == 1
    assert model(image()).shape == [2, 4]


def test_a_ratio_below_one_channel_changes_nothing():
    assert ChannelPruner(Chain(), IMAGE).removed({"first.weight": 0.05}) == {}


def test_layers_have_their_new_widths():
    model = Depthwise(2)
    ChannelPruner(model, IMAGE).prune({"first.weight": 0.5})
    depthwise = model.depthwise
    assert (depthwise._in_channels, depthwise._out_channels, depthwise._groups) == (4, 8, 4)
    assert (model.last._in_channels, model.last._out_channels) == (8, 6)


def test_a_pruned_model_can_be_trained():
    model = Normalized()
    model(image()).sum().backward()
    pruner = ChannelPruner(model, IMAGE)
    pruner.prune({"first.weight": 0.5})
    model.train()
    optimizer = paddle.optimizer.Momentum(0.01, parameters=model.parameters())
    before = model.first.weight.numpy()
    model(image()).sum().backward()
    optimizer.step()
    assert (model.first.weight.numpy() != before).any()


def test_the_smallest_batch_norm_scale_is_removed():
    model = Depthwise()
    model.first = paddle.nn.Sequential(model.first, paddle.nn.BatchNorm2D(8))
    scales = np.ones(8, "float32")
    scales[3] = -0.01
    model.first[1].weight.set_value(scales)
    pruner = ChannelPruner(model, IMAGE, "batch_norm_scale")
    assert pruner.removed({"first.0.weight": 0.125})["first.0.weight", 0].tolist() == [3]


def test_a_group_without_batch_norms_is_ranked_by_its_weights():
    model = Flattened()
    by_weights, by_scales = (
        ChannelPruner(model, IMAGE, criterion).removed({"hidden.weight": 0.3})
        for criterion in ("l1_norm", "batch_norm_scale")
    )
    assert by_weights.keys() == by_scales.keys()
    assert all((by_weights[key] == by_scales[key]).all() for key in by_weights)
