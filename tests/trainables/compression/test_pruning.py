import paddle
import pytest

from spaces.errors import TrialError
from spaces.plan import Plan, QuantizationChoice
from tests.helpers.tiny.mine import Mine
from trainables.compression.pruning import pruned_model
from trainables.weights import fingerprint, model_weights

FLOAT = QuantizationChoice.FLOAT


def test_ratios_become_channels(tiny_weights):
    plan = Plan.of({"conv1.weight": 0.5, "conv2.weight": 0.25}, FLOAT)
    model = pruned_model(Mine(tiny_weights), plan)
    assert model.conv1.weight.shape == [8, 1, 3, 3]
    assert model.conv2.weight.shape == [24, 8, 3, 3]
    assert model.head.weight.shape == [24, 10]
    assert model(paddle.rand([2, 1, 14, 14])).shape == [2, 10]


def test_the_channels_with_the_smallest_l1_norm_are_removed(tiny_weights):
    task = Mine(tiny_weights)
    whole = task.build_model().conv1.weight.numpy()
    norms = abs(whole).sum((1, 2, 3))
    kept = sorted(norms.argsort()[8:])
    model = pruned_model(task, Plan.of({"conv1.weight": 0.5}, FLOAT))
    assert (model.conv1.weight.numpy() == whole[kept]).all()


def test_the_same_plan_gives_the_same_model(tiny_weights):
    task, plan = Mine(tiny_weights), Plan.of({"conv1.weight": 0.5}, FLOAT)
    first, second = (model_weights(pruned_model(task, plan)) for _ in range(2))
    assert fingerprint(first) == fingerprint(second)


def test_empty_plan_is_the_trained_model(tiny_weights):
    task = Mine(tiny_weights)
    same = fingerprint(model_weights(pruned_model(task, Plan())))
    assert same == fingerprint(model_weights(task.build_model()))


def test_a_group_of_another_model_is_a_trial_error(tiny_weights):
    with pytest.raises(TrialError, match=r"conv9\.weight"):
        pruned_model(Mine(tiny_weights), Plan.of({"conv9.weight": 0.5}, FLOAT))
