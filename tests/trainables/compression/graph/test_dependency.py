"""Which channels must be removed together, network by network."""

import numpy as np
import paddle
import pytest
from paddle import nn

from tests.trainables.compression.networks import (
    IMAGE,
    Attention,
    Auxiliary,
    Between,
    Chain,
    Concat,
    Depthwise,
    Flattened,
    Gated,
    Grouped,
    GroupedTransposed,
    Normalized,
    PixelShuffled,
    Residual,
    Sequence,
    Shared,
    Shuffled,
    Split,
    Squashed,
    Transposed,
    TwoInputs,
    Upsampled,
)
from trainables.compression.graph.dependency import find_dependencies
from trainables.task import ModelInput


def found(model, inputs=IMAGE):
    model.eval()
    return find_dependencies(model, inputs)


def counts(model, inputs=IMAGE):
    return {group.name: group.count for group in found(model, inputs).groups}


@pytest.mark.parametrize(
    ("network", "groups"),
    [
        (Chain, {"first.weight": 8, "last.weight": 6}),
        (Residual, {"first.weight": 8, "inner.weight": 6}),
        # Concatenated convolutions are separate groups.
        (Concat, {"left.weight": 4, "right.weight": 8, "last.weight": 6}),
        (Depthwise, {"first.weight": 8, "last.weight": 6}),
        (lambda: Depthwise(2), {"first.weight": 8, "last.weight": 6}),
        # 8 channels in 2 convolution groups of 4: either half can be removed.
        (Grouped, {"first.weight": 2, "last.weight": 6}),
        (GroupedTransposed, {"first.weight": 4, "last.weight": 6}),
        (Transposed, {"first.weight": 8, "up.weight": 12, "last.weight": 6}),
        (Flattened, {"first.weight": 8, "hidden.weight": 10}),
        (Shared, {"first.weight": 8}),
        (Squashed, {"first.weight": 8, "inner.weight": 8, "last.weight": 6}),
        (Normalized, {"first.weight": 8, "second.weight": 8, "last.weight": 6}),
        (Gated, {"first.weight": 8, "last.weight": 6, "squeeze.weight": 4}),
        (Upsampled, {"first.weight": 8, "inner.weight": 4, "last.weight": 6}),
        # 3 x 2 heads of 6.
        (Attention, {"first.weight": 8, "qkv.weight": 6}),
        (Shuffled, {"first.weight": 4, "last.weight": 6}),
        (Split, {"first.weight": 4, "left.weight": 6}),
        (Sequence, {"first.weight": 8, "last.weight": 6}),
        (PixelShuffled, {"first.weight": 2, "last.weight": 6}),
        (Auxiliary, {"first.weight": 8, "last.weight": 6}),
    ],
)
def test_groups_and_their_numbers_of_channels(network, groups):
    assert counts(network()) == groups


def test_two_inputs():
    inputs = (ModelInput("a", (3, 16, 16)), ModelInput("b", (1, 16, 16)))
    assert counts(TwoInputs(), inputs) == {"left.weight": 8}


def slices(model, name):
    group = next(group for group in found(model).groups if group.name == name)
    return {(part.weight, part.axis): part.indices.tolist() for part in group.slices}


def test_a_channel_removes_its_row_and_the_columns_that_read_it():
    each = [[index] for index in range(8)]
    assert slices(Chain(), "first.weight") == {("first.weight", 0): each, ("last.weight", 1): each}


def test_a_norm_loses_its_statistics_too():
    taken = slices(Normalized(), "first.weight")
    names = {name for name, _ in taken}
    assert names == {
        *("first.weight", "second.weight"),
        *("norm.weight", "norm.bias", "norm._mean", "norm._variance"),
    }


def test_behind_a_flatten_a_channel_is_many_inputs():
    taken = slices(Flattened(), "first.weight")[("hidden.weight", 0)]
    assert taken == [list(range(16 * c, 16 * c + 16)) for c in range(8)]


def test_behind_a_concatenation_indices_are_shifted():
    assert slices(Concat(), "right.weight")[("last.weight", 1)] == [[4 + c] for c in range(8)]


def test_a_depthwise_multiplier_removes_several_outputs_per_input():
    taken = slices(Depthwise(2), "first.weight")
    assert taken[("depthwise.weight", 0)] == [[2 * c, 2 * c + 1] for c in range(8)]
    assert ("depthwise.weight", 1) not in taken


def test_a_shuffle_binds_both_halves_index_by_index():
    taken = slices(Shuffled(), "first.weight")
    assert taken[("first.weight", 0)] == [[c, c + 4] for c in range(4)]
    assert taken[("last.weight", 1)] == [[2 * c, 2 * c + 1] for c in range(4)]


def test_heads_of_an_attention_shrink_together():
    taken = slices(Attention(), "qkv.weight")
    assert taken[("qkv.weight", 1)][0] == [0, 6, 12, 18, 24, 30]
    assert taken[("project.weight", 0)][0] == [0, 6]


def test_weights_used_only_in_training_are_pruned_too():
    model = Auxiliary()
    assert ("second.weight", 1) in slices(model, "first.weight")
    assert not model.training, "the mode was left changed"
    assert {item.name for item in found(model).excluded} == {"head.weight", "second.weight"}


def test_removed_indices_are_in_order():
    group = next(g for g in found(Shuffled()).groups if g.name == "first.weight")
    removed = group.removed([2, 0])
    assert removed[("first.weight", 0)].tolist() == [0, 2, 4, 6]


def cond(one, other):
    return paddle.static.nn.cond(paddle.full([1], True, "bool"), one, other)


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        (lambda x: paddle.split(x, [2, 6], axis=1)[1], "unequal parts"),
        (lambda x: x[:, 2:], "fixed indices"),
        (lambda x: x + paddle.arange(8, dtype="float32").reshape([1, 8, 1, 1]), "not a layer's"),
        (lambda x: x * x.mean(1, keepdim=True), "reduce_mean over its channels"),
        (lambda x: nn.functional.softmax(x, axis=1), "softmax over its channels"),
        (lambda x: paddle.roll(x, 1, axis=2), "roll, which has no rule"),
        (nn.GroupNorm(2, 8), "group norm over its channels"),
        (nn.LayerNorm([8, 16, 16]), "layer norm over its channels"),
        (lambda x: cond(lambda: x * 2, lambda: x), "which has no rule"),
    ],
)
def test_excluded_channels_are_named_with_the_reason(between, reason):
    model = Between(between)
    if "unequal" in reason or "fixed" in reason:
        model.last = nn.Conv2D(6, 6, 3)
    result = found(model)
    assert [group.name for group in result.groups] == ["last.weight"]
    reasons = {item.name: item.reason for item in result.excluded}
    assert reason in reasons["first.weight"]


def test_weights_inside_control_flow_are_excluded():
    inner = nn.Conv2D(8, 8, 1)
    model = Between(lambda x: cond(lambda: inner(x), lambda: x))
    model.inner = inner
    result = found(model)
    assert [group.name for group in result.groups] == ["last.weight"]
    assert {"first.weight", "inner.weight"} <= {item.name for item in result.excluded}


def test_the_models_outputs_are_excluded():
    assert {item.name: item.reason for item in found(Chain()).excluded} == {
        "head.weight": "is an output of the model"
    }


def test_tracing_leaves_the_model_and_the_mode_as_they_were():
    model = Normalized()
    model.eval()
    before = {name: value.numpy() for name, value in model.state_dict().items()}
    x = paddle.rand([2, 3, 16, 16])
    expected = model(x).numpy()
    find_dependencies(model, IMAGE)
    assert paddle.in_dynamic_mode()
    assert (model(x).numpy() == expected).all()
    after = {name: value.numpy() for name, value in model.state_dict().items()}
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_failed_trace_raises_the_models_error_in_dynamic_mode():
    model = Between(lambda x: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        found(model)
    assert paddle.in_dynamic_mode()
