import paddle
from paddle import nn

from trainables.models import new_model


class NamedByItself:
    """A task whose network names a parameter, as PaddleClas's MobileNetV2 does."""

    inputs = ()

    def build_model(self):
        return nn.Conv2D(3, 4, 1, weight_attr=paddle.ParamAttr(name="conv1_weights"))


def test_a_network_that_names_its_parameters_can_be_built_again():
    first, second = new_model(NamedByItself()), new_model(NamedByItself())
    assert first.weight is not second.weight


def test_names_from_paddle_are_unique_over_models():
    class Task:
        inputs = ()

        def build_model(self):
            return nn.Linear(2, 2)

    assert len({new_model(Task()).weight.name for _ in range(3)}) == 3
