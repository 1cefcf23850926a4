import paddle
import pytest

from trainables.tasks.paddleocr.db_network import DBNetwork


@pytest.mark.parametrize("variant", ["small", "large"])
def test_one_map_in_evaluation_and_three_in_training(variant):
    network = DBNetwork(variant, 0.35, neck_channels=16)
    images = paddle.rand([2, 3, 32, 64])
    assert network(images).shape == [2, 3, 32, 64]
    network.eval()
    assert network(images).shape == [2, 1, 32, 64]


def test_without_squeeze_and_excitation():
    names = DBNetwork("small", 0.35, squeeze_excitation=False).state_dict()
    assert not any("mid_se" in name for name in names)


def test_layers_have_the_names_of_paddleocr():
    names = set(DBNetwork("large", 0.5).state_dict())
    assert {
        "backbone.conv.conv.weight",
        "backbone.stage1.0.mid_se.conv1.weight",
        "backbone.stage3.3.bn._mean",
        "neck.in5_conv.weight",
        "head.binarize.conv_bn1.weight",
        "head.thresh.conv3.bias",
    } <= names
