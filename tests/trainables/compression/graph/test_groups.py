"""Pruning groups of small networks, one network for each kind of dependency."""

import numpy as np
import paddle
import pytest
from paddle import nn

from tests.trainables.compression.networks import (
    IMAGE,
    Between,
    Chain,
    Concat,
    Depthwise,
    Grouped,
    Residual,
    Transposed,
    TwoInputs,
    Untraceable,
    conv,
)
from trainables.compression.graph.groups import survey_groups
from trainables.compression.pruner import ChannelPruner
from trainables.task import ModelInput


def names(items):
    return {item.name for item in items}


def test_a_residual_connection_makes_one_group():
    survey = survey_groups(Residual, IMAGE)
    shared = next(g for g in survey.groups if g.name == "first.weight")
    assert {"first.weight", "outer.weight", "inner.weight", "head.weight"} <= set(shared.members)
    assert shared.channels == 8
    assert names(survey.groups) == {"first.weight", "inner.weight"}


@pytest.mark.parametrize("network", [Residual, Concat, Depthwise, Grouped, Transposed])
@pytest.mark.parametrize("multiplier", [1, 2])
def test_every_group_found_can_be_pruned_and_every_convolution_is_accounted_for(
    network, multiplier
):
    def build():
        return Depthwise(multiplier) if network is Depthwise else network()

    survey = survey_groups(build, IMAGE)
    for group in survey.groups:
        model = build()
        before = sum(p.numel().item() for p in model.parameters())
        ChannelPruner(model, IMAGE).prune({group.name: 0.5})
        assert model(paddle.rand([2, 3, 16, 16])).shape == [2, 4]
        assert sum(p.numel().item() for p in model.parameters()) < before
    mentioned = names(survey.groups) | names(survey.excluded)
    mentioned |= {member for group in survey.groups for member in group.members}
    convolutions = {n for n, p in build().named_parameters() if len(p.shape) == 4}
    assert convolutions <= mentioned


def test_a_group_knows_its_outputs_and_how_many_go_at_a_time():
    (first, last) = survey_groups(Grouped, IMAGE).groups
    assert (first.name, first.channels, first.unit) == ("first.weight", 8, 4)
    assert (last.name, last.channels, last.unit) == ("last.weight", 6, 1)


def test_code_that_depends_on_a_width_is_found_by_pruning():
    """inception_v3 of paddle.vision does so after its last concatenation."""

    class Counting(Chain):
        def body(self, x):
            x = self.first(x)
            return self.last(x.reshape([-1, 8, 16, 16]))

    survey = survey_groups(Counting, IMAGE)
    assert names(survey.groups) == {"last.weight"}
    reasons = {item.name: item.reason for item in survey.excluded}
    assert "the pruned model fails" in reasons["first.weight"]


def test_a_group_whose_pruning_differs_from_zeroing_is_excluded():
    """The code computes with the width, which no operator shows."""

    class Scaled(Chain):
        def body(self, x):
            x = self.first(x)
            return self.last(x / x.shape[1])

    survey = survey_groups(Scaled, IMAGE)
    assert names(survey.groups) == {"last.weight"}
    reasons = {item.name: item.reason for item in survey.excluded}
    assert "differ from those with its channels zeroed" in reasons["first.weight"]


class Many(nn.Layer):
    """Parallel branches, each a group; `rule` is called with their widths and may raise."""

    def __init__(self, rule, count):
        super().__init__()
        self.rule, self.runs = rule, 0
        self.branches = nn.LayerList([conv(3, 8) for _ in range(count)])
        self.ends = nn.LayerList([conv(8, 4) for _ in range(count)])

    def forward(self, x):
        self.runs += 1
        found = [branch(x) for branch in self.branches]
        if paddle.in_dynamic_mode():
            self.rule([y.shape[1] for y in found])
        return sum(end(y) for end, y in zip(self.ends, found, strict=True)).mean([2, 3])


def refused(wrong):
    def rule(widths):
        if wrong(widths):
            raise ValueError(f"widths {widths}")

    return rule


def branches(items):
    return {int(item.name.split(".")[1]) for item in items}


def test_of_groups_that_fail_together_some_are_excluded():
    """As many as pass together are pruned; the excluded ones are said to pass alone."""
    survey = survey_groups(
        lambda: Many(refused(lambda widths: sum(w < 8 for w in widths) > 5), 9), IMAGE
    )
    assert len(survey.groups) == 5
    assert branches(survey.groups) | branches(survey.excluded) == set(range(9))
    assert {item.reason.partition(" groups")[0] for item in survey.excluded} == {
        "passes alone, but not together with the other"
    }


def test_a_group_that_passes_alone_is_verified_with_those_that_passed():
    """Of branches 0, 1 and 2 only one can be pruned: each pair fails together."""
    pairs = [(0, 1), (1, 2), (0, 2)]
    survey = survey_groups(
        lambda: Many(
            refused(lambda widths: any(widths[a] < 8 and widths[b] < 8 for a, b in pairs)), 5
        ),
        IMAGE,
    )
    assert len(branches(survey.groups) & {0, 1, 2}) == 1
    assert {3, 4} <= branches(survey.groups)


def test_groups_that_must_be_equally_wide_are_excluded():
    """With one ratio for all they would pass, but a plan gives each group its own."""
    survey = survey_groups(lambda: Many(refused(lambda widths: widths[0] != widths[1]), 3), IMAGE)
    assert branches(survey.groups) == {2}
    assert all("the pruned model fails" in item.reason for item in survey.excluded)


def test_few_failing_groups_of_many_are_found_in_few_runs():
    model = Many(refused(lambda widths: widths[11] < 8 or widths[40] < 8), 64)
    survey = survey_groups(lambda: model, IMAGE)
    assert branches(survey.excluded) == {11, 40}
    # A group that fails when pruned is not run zeroed. The 64 branches are verified too.
    assert model.runs < 80


class Spectrogram(nn.Layer):
    """Takes the logarithm of inputs that are never negative."""

    def __init__(self, activation):
        super().__init__()
        self.first, self.last, self.head = conv(1, 32), conv(32, 32), nn.Linear(32, 4)
        self.activation = activation

    def forward(self, x):
        x = paddle.log(x + 1e-3)
        x = self.activation(self.last(self.activation(self.first(x))))
        return self.head(x.mean([2, 3]))


SPECTRA = (ModelInput("mel", (1, 16, 16)),)


@pytest.mark.parametrize("activation", [nn.Silu(), nn.ReLU()])
def test_groups_are_verified_on_the_tasks_samples(activation):
    """On random samples the outputs are not finite, or constant."""
    samples = [np.random.default_rng(0).random((2, 1, 16, 16), "float32")]
    survey = survey_groups(lambda: Spectrogram(activation), SPECTRA, samples=samples)
    assert names(survey.groups) == {"first.weight", "last.weight"}
    random = survey_groups(lambda: Spectrogram(activation), SPECTRA)
    assert random.groups == ()
    assert all("cannot be verified" in item.reason for item in random.excluded)


def test_equal_samples_verify_nothing():
    samples = [np.ones((2, 3, 16, 16), "float32")]
    survey = survey_groups(Chain, IMAGE, samples=samples)
    assert {item.reason for item in survey.excluded} == {
        "cannot be verified: with its channels zeroed the model's outputs are the same whatever "
        "the sample is"
    }


def test_integer_inputs():
    class Words(nn.Layer):
        def __init__(self):
            super().__init__()
            self.table, self.hidden, self.head = nn.Embedding(50, 32), nn.Linear(32, 64), None
            self.head = nn.Linear(64, 4)

        def forward(self, x):
            return self.head(nn.functional.relu(self.hidden(self.table(x).mean(1))))

    survey = survey_groups(Words, (ModelInput("words", (12,), "int64"),))
    assert names(survey.groups) == {"table.weight", "hidden.weight"}


@pytest.mark.parametrize("scale", [1, 0.5])
def test_rounding_is_not_taken_for_a_difference_nor_a_difference_for_rounding(scale):
    """In float32 these sums have two digits, which hides rounding and differences alike."""

    def between(x):
        # Computed from the width, so wrong once that changes.
        return (x * (1 if scale == 1 else x.shape[1]) + 3e4) - 3e4

    survey = survey_groups(lambda: Between(between), IMAGE)
    expected = {"first.weight", "last.weight"} if scale == 1 else {"last.weight"}
    assert names(survey.groups) == expected
    assert paddle.get_default_dtype() == "float32"


def test_all_groups_of_googlenet_pass():
    survey = survey_groups(
        lambda: paddle.vision.models.googlenet(num_classes=10), (ModelInput("x", (3, 224, 224)),)
    )
    assert len(survey.groups) == 61
    assert survey.excluded == ()


def test_protected_layer_loses_no_outputs_but_may_lose_inputs():
    survey = survey_groups(Residual, IMAGE, protected_layers=["inner"])
    assert names(survey.groups) == {"first.weight"}
    assert [i.reason for i in survey.excluded if i.name == "inner.weight"] == [
        "protected layer inner"
    ]


def test_protecting_one_member_protects_the_whole_group():
    survey = survey_groups(Residual, IMAGE, protected_layers=["outer"])
    assert names(survey.groups) == {"inner.weight"}


def test_model_with_two_inputs():
    inputs = (ModelInput("a", (3, 8, 8)), ModelInput("b", (1, 8, 8)))
    survey = survey_groups(TwoInputs, inputs)
    assert names(survey.groups) == {"left.weight"}


def test_model_that_cannot_be_traced_has_no_groups_and_a_reason():
    survey = survey_groups(Untraceable, IMAGE)
    assert survey.groups == ()
    assert survey.excluded[0].name == "model"
    assert "depends on the data" in survey.excluded[0].reason
    assert paddle.in_dynamic_mode()
