import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.nn.utils import spectral_norm, weight_norm

from trainables.compression.reparametrized import fold


@pytest.mark.parametrize("reparametrize", [weight_norm, spectral_norm])
def test_the_weight_becomes_a_parameter_and_outputs_stay(reparametrize):
    paddle.seed(0)
    model = nn.Sequential(nn.Conv2D(3, 4, 3), reparametrize(nn.Conv2D(4, 5, 3)))
    model.train()
    model(paddle.rand([2, 3, 8, 8]))
    model.eval()
    x = paddle.rand([2, 3, 8, 8])
    expected = model(x).numpy()
    fold(model)
    assert set(model.state_dict()) == {"0.weight", "0.bias", "1.weight", "1.bias"}
    assert not model[1].weight.stop_gradient
    np.testing.assert_allclose(model(x).numpy(), expected, rtol=1e-5, atol=1e-6)
    assert not model[1]._forward_pre_hooks


def test_a_plain_model_is_not_changed():
    model = nn.Sequential(nn.Conv2D(3, 4, 3))
    weight = model[0].weight
    fold(model)
    assert model[0].weight is weight
