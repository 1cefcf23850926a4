"""Groups of small networks, one for each way in which channels hang together."""

import paddle
import pytest

from tests.trainables.compression.networks import (
    IMAGE,
    Concat,
    Depthwise,
    Grouped,
    Residual,
    Squashed,
    Transposed,
    TwoInputs,
    Untraceable,
)
from trainables.compression.groups import survey_groups
from trainables.compression.slim import ChannelPruner, drop_backups
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
        drop_backups(model)
        assert model(paddle.rand([2, 3, 16, 16])).shape == [2, 4]
        assert sum(p.numel().item() for p in model.parameters()) < before
    mentioned = names(survey.groups) | names(survey.left_out)
    mentioned |= {member for group in survey.groups for member in group.members}
    convolutions = {n for n, p in build().named_parameters() if len(p.shape) == 4}
    assert convolutions <= mentioned


@pytest.mark.parametrize("network", [Residual, Concat, Depthwise, Grouped, Transposed, Squashed])
def test_masked_weights_compute_what_the_pruned_model_does(network):
    x = paddle.rand([2, 3, 16, 16])
    groups = survey_groups(network, IMAGE).groups
    assert groups
    for group in groups:
        model = network()
        pruner = ChannelPruner(model, IMAGE)
        whole = {name: p.numpy() for name, p in model.named_parameters()}
        masked = pruner.masked({group.name: 0.5})
        after = {name: p.numpy() for name, p in model.named_parameters()}
        assert all((whole[name] == after[name]).all() for name in whole), "the model was changed"
        pruner.prune({group.name: 0.5})
        pruned = model(x).numpy()
        pruner.restore()
        model.set_state_dict(masked)
        assert model(x).numpy() == pytest.approx(pruned, abs=1e-5)


def test_depthwise_convolution_with_a_multiplier_is_left_out_with_a_reason():
    survey = survey_groups(lambda: Depthwise(2), IMAGE)
    left_out = {item.name: item.reason for item in survey.left_out}
    assert "first.weight" in left_out
    assert "fails" in left_out["first.weight"]
    assert "first.weight" not in names(survey.groups)


def test_groups_of_the_network_before_and_after_a_failing_one_are_still_found():
    """A failed prune leaves the model half-way; the next group gets a whole one."""
    survey = survey_groups(lambda: Depthwise(2), IMAGE)
    assert paddle.in_dynamic_mode()
    assert len(survey.groups) + len(survey.left_out) >= 2


def test_googlenet_is_searched_where_it_can_be_and_ends_nothing():
    survey = survey_groups(
        lambda: paddle.vision.models.googlenet(num_classes=10), (ModelInput("x", (3, 224, 224)),)
    )
    assert survey.left_out, "PaddleSlim gets some of googlenet wrong; has it been mended?"
    assert all(item.reason for item in survey.left_out)


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
