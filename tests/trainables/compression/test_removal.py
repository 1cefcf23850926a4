"""A model without its branches computes what it computes with them masked, and trains."""

from contextlib import ExitStack

import numpy as np
import paddle
import pytest

from tests.trainables.compression.branched import FOUND, IMAGE, Network, Paths, fused, residual
from trainables.compression.graph.groups import survey_groups
from trainables.compression.pruner import ChannelPruner
from trainables.compression.removal import branches_switched, outer_branches
from trainables.deployment.engines.paddle_inference import PaddleEngine
from trainables.deployment.export import rewritable_export
from trainables.evaluation import predict


def built(network):
    paddle.seed(0)
    model = network()
    # Running statistics that are not those of new layers.
    rng = np.random.default_rng(0)
    for _, buffer in model.named_buffers():
        buffer.set_value(rng.uniform(0.5, 1.5, buffer.shape).astype("f4"))
    return ChannelPruner(model, IMAGE)


def samples():
    rng = np.random.default_rng(1)
    return [paddle.to_tensor(rng.standard_normal((2, 3, 8, 8)).astype("f4"))]


def sets_of(names):
    return [*([name] for name in names), list(names)]


@pytest.mark.parametrize("network", FOUND)
def test_each_branch_and_all_together_equal_the_mask(network):
    pruner = built(network)
    whole = predict(pruner.model, samples())
    for names in sets_of(FOUND[network]):
        ratios = dict.fromkeys(names, 1.0)
        pruner.prune(ratios)
        found = predict(pruner.model, samples())
        pruner.restore()
        with pruner.mask(ratios):
            expected = predict(pruner.model, samples())
        np.testing.assert_allclose(found[0], expected[0], atol=1e-4 * expected[0].std())
        assert np.abs(found[0] - whole[0]).max() > 1e-3 * whole[0].std()
    np.testing.assert_array_equal(predict(pruner.model, samples())[0], whole[0])


@pytest.mark.parametrize("network", FOUND)
def test_an_export_with_switches_computes_each_mask(network, tmp_path):
    pruner = built(network)
    model, inputs = pruner.model, [tensor.numpy() for tensor in samples()]
    state = set(model.state_dict())
    whole = predict(model, samples())
    with ExitStack() as opened:
        with branches_switched(model, list(pruner.branches.values())) as switches:
            write = opened.enter_context(rewritable_export(model, IMAGE, tmp_path))
        assert set(model.state_dict()) == state
        for name in FOUND[network]:
            ratios = {name: 1.0}
            write({**pruner.masked(ratios), switches[name]: np.zeros(1, "f4")})
            found = PaddleEngine(tmp_path, "float", 1).run(inputs)
            with pruner.mask(ratios):
                expected = predict(model, samples())
            np.testing.assert_allclose(found[0], expected[0], atol=1e-4 * expected[0].std())
        write({})
    found = PaddleEngine(tmp_path, "float", 1).run(inputs)
    np.testing.assert_allclose(found[0], whole[0], atol=1e-4 * whole[0].std())


@pytest.mark.parametrize("network", FOUND)
def test_its_weights_and_its_layers_are_gone_and_the_rest_is_trained(network):
    pruner = built(network)
    names = FOUND[network]
    before = set(pruner.model.state_dict())
    gone = {weight for name in names for weight in pruner.branches[name].weights}
    pruner.prune(dict.fromkeys(names, 1.0))
    model = pruner.model
    assert set(model.state_dict()) == before - gone
    model.train()
    model(*samples()).mean().backward()
    assert all(p.grad is not None for p in model.parameters() if not p.stop_gradient)


def test_with_channels_pruned_elsewhere():
    pruner = built(residual)
    inner = {name: pruner.inside(name) for name in pruner.groups}
    # The group within the first branch has no channels left to prune.
    (first,) = (name for name, around in inner.items() if around == ("body.0.step1",))
    ratios = dict.fromkeys(pruner.groups, 0.5) | {"body.0.step1": 1.0}
    pruner.prune(ratios)
    found = predict(pruner.model, samples())
    assert pruner.width(first) == 8
    pruner.restore()
    with pruner.mask(ratios):
        expected = predict(pruner.model, samples())
    np.testing.assert_allclose(found[0], expected[0], atol=1e-4 * expected[0].std())


def test_what_reads_a_concatenation_is_narrower():
    pruner = built(lambda: Network(Paths()))
    pruner.prune({"body.right": 1.0})
    assert pruner.model.body.last[0].weight.shape == [8, 8, 3, 3]
    assert pruner.model.body.last[0]._in_channels == 8


def test_the_branches_that_lie_in_others_go_with_them():
    fuse, inner, last = built(fused).branches.values()
    assert outer_branches([fuse, inner, last]) == [fuse, last]
    assert outer_branches([inner, last]) == [inner, last]


def test_the_survey_lists_branches_apart_from_groups():
    survey = survey_groups(lambda: built(residual).model, IMAGE)
    assert [branch.name for branch in survey.branches] == list(FOUND[residual])
    assert all(b.is_branch and b.channels == 1 and b.members for b in survey.branches)
    assert [item.name for item in survey.kept_branches] == ["body.1.short"]
    assert {around for group in survey.groups for around in group.inside} == set(FOUND[residual])


def test_a_protected_layer_protects_its_branch():
    survey = survey_groups(lambda: built(residual).model, IMAGE, ["body.0.step0"])
    assert "body.0.step1" not in [branch.name for branch in survey.branches]
    assert ("body.0.step1", "protected layer body.0.step0") in [
        (item.name, item.reason) for item in survey.kept_branches
    ]
