"""Groups of small networks, one for each way in which channels hang together."""

import paddle
import pytest

from tests.trainables.compression.networks import (
    IMAGE,
    Chain,
    Concat,
    Depthwise,
    Grouped,
    Residual,
    Transposed,
    TwoInputs,
    Untraceable,
)
from trainables.compression.groups import survey_groups
from trainables.compression.pruner import ChannelPruner
from trainables.task import ModelInput


def names(items):
    return {item.name for item in items}


def test_residual_connection_makes_one_group_of_what_it_adds():
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
    mentioned = names(survey.groups) | names(survey.left_out)
    mentioned |= {member for group in survey.groups for member in group.members}
    convolutions = {n for n, p in build().named_parameters() if len(p.shape) == 4}
    assert convolutions <= mentioned


def test_a_group_knows_its_outputs_and_how_many_go_at_a_time():
    (first, last) = survey_groups(Grouped, IMAGE).groups
    assert (first.name, first.channels, first.unit) == ("first.weight", 8, 4)
    assert (last.name, last.channels, last.unit) == ("last.weight", 6, 1)


def test_a_width_that_the_models_own_code_counts_on_is_found_by_trying():
    """As inception_v3 of paddle.vision does behind its last concatenation."""

    class Counting(Chain):
        def body(self, x):
            x = self.first(x)
            return self.last(x.reshape([-1, 8, 16, 16]))

    survey = survey_groups(Counting, IMAGE)
    assert names(survey.groups) == {"last.weight"}
    reasons = {item.name: item.reason for item in survey.left_out}
    assert "pruned the model fails" in reasons["first.weight"]


def test_a_prune_that_gives_something_else_than_masked_is_left_out():
    """The code reads the width and computes with it, which no operator shows."""

    class Scaled(Chain):
        def body(self, x):
            x = self.first(x)
            return self.last(x / x.shape[1])

    survey = survey_groups(Scaled, IMAGE)
    assert names(survey.groups) == {"last.weight"}
    reasons = {item.name: item.reason for item in survey.left_out}
    assert "something else than masked" in reasons["first.weight"]


def test_all_of_googlenet_is_pruned_but_its_classifiers():
    survey = survey_groups(
        lambda: paddle.vision.models.googlenet(num_classes=10), (ModelInput("x", (3, 224, 224)),)
    )
    assert len(survey.groups) == 61
    assert survey.left_out == ()


def test_protected_layer_loses_no_outputs_but_may_lose_inputs():
    survey = survey_groups(Residual, IMAGE, protected_layers=["inner"])
    assert names(survey.groups) == {"first.weight"}
    assert [i.reason for i in survey.left_out if i.name == "inner.weight"] == [
        "protected layer inner"
    ]


def test_protecting_one_member_protects_the_whole_group():
    survey = survey_groups(Residual, IMAGE, protected_layers=["outer"])
    assert names(survey.groups) == {"inner.weight"}


def test_model_with_two_inputs():
    inputs = (ModelInput("a", (3, 8, 8)), ModelInput("b", (1, 8, 8)))
    survey = survey_groups(TwoInputs, inputs)
    assert "model" not in names(survey.left_out)


def test_model_that_cannot_be_traced_has_no_groups_and_a_reason():
    survey = survey_groups(Untraceable, IMAGE)
    assert survey.groups == ()
    assert survey.left_out[0].name == "model"
    assert "depends on the data" in survey.left_out[0].reason
    assert paddle.in_dynamic_mode()
