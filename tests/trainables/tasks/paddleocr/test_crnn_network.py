import numpy as np
import paddle
import pytest

from spaces.plan import QuantizationChoice
from trainables.compression.graph.groups import survey_groups
from trainables.compression.quantization import prepare_quantization
from trainables.task import ModelInput
from trainables.tasks.paddleocr.crnn_network import CRNNetwork, map_size

SMALL = {"variant": "small", "scale": 0.35, "strides": (1, 2, 2, 2), "hidden_size": 8}
LINE = (ModelInput("image", (3, 32, 40)),)


@pytest.fixture(scope="module")
def survey():
    return survey_groups(lambda: CRNNetwork(5, **SMALL), LINE)


@pytest.mark.parametrize(
    ("variant", "strides"), [("large", None), ("small", (1, 2, 2, 2)), ("large", (1, 2, 1, 4))]
)
def test_chances_for_every_fourth_column(variant, strides):
    network = CRNNetwork(7, variant, 0.35, strides, hidden_size=8)
    images = paddle.rand([2, 3, 32, 100])
    scores = network(images)
    assert scores.shape == [2, 25, 7] and float(scores.min()) < 0
    network.eval()
    assert np.allclose(network(images).sum(2).numpy(), 1, atol=1e-5)


def test_the_size_of_the_map_is_the_backbones():
    for variant, strides, height, width in (
        ("large", (1, 2, 2, 2), 32, 100),
        ("small", (1, 2, 2, 2), 32, 101),
        ("small", (1, 1, 2, 2), 48, 90),
        ("large", (2, 2, 2, 1), 32, 100),
    ):
        backbone = CRNNetwork(3, variant, 0.35, strides).backbone
        found = backbone(paddle.rand([1, 3, height, width])).shape[2:]
        assert map_size(height, width, variant, strides) == tuple(found)


def test_layers_have_the_names_and_shapes_of_paddleocr():
    """rec_mv3_none_bilstm_ctc.yml: large, scale 0.5, 96 hidden units, digits and letters."""
    shapes = {
        name: tuple(array.shape)
        for name, array in CRNNetwork(37, hidden_size=96).state_dict().items()
    }
    assert len({name.rsplit(".", 1)[0] for name in shapes if "blocks" in name}) == 6 * 15 + 2 * 8
    expected = {
        "backbone.conv1.conv.weight": (8, 3, 3, 3),
        "backbone.conv1.bn._mean": (8,),
        "backbone.blocks.0.expand_conv.conv.weight": (8, 8, 1, 1),
        "backbone.blocks.3.bottleneck_conv.conv.weight": (40, 1, 5, 5),
        "backbone.blocks.3.mid_se.conv1.weight": (10, 40, 1, 1),
        "backbone.blocks.14.linear_conv.bn._variance": (80,),
        "backbone.conv2.conv.weight": (480, 80, 1, 1),
        "neck.encoder.lstm.weight_ih_l0": (384, 480),
        "neck.encoder.lstm.weight_hh_l0_reverse": (384, 96),
        "neck.encoder.lstm.weight_ih_l1": (384, 192),
        "neck.encoder.lstm.0.cell_fw.bias_ih": (384,),
        "neck.encoder.lstm.1.cell_bw.weight_hh": (384, 96),
        "head.fc.weight": (192, 37),
        "head.fc.bias": (37,),
    }
    assert {name: shapes.get(name) for name in expected} == expected


def test_without_recurrent_layers_and_with_a_layer_between():
    names = CRNNetwork(5, "small", 0.35, hidden_size=None, head_middle=6).state_dict()
    assert not any(name.startswith("neck") for name in names)
    assert {"head.fc1.weight", "head.fc2.bias"} <= set(names) and "head.fc.weight" not in names


def test_the_backbone_can_be_pruned_and_recurrent_layers_stay_whole(survey):
    assert len(survey.groups) > 10
    assert all(group.name.startswith("backbone.") for group in survey.groups)
    reasons = {item.name: item.reason for item in survey.excluded}
    assert reasons["neck.encoder.lstm.weight_ih_l0"].startswith("a recurrent layer stays whole")
    assert reasons["backbone.conv2.conv.weight"] == "read by a recurrent layer, which stays whole"
    assert sum("recurrent" in reason for reason in reasons.values()) == 2


def test_without_recurrent_layers_the_last_convolution_can_be_pruned():
    whole = {**SMALL, "hidden_size": None}
    found = survey_groups(lambda: CRNNetwork(5, **whole), LINE)
    assert "backbone.conv2.conv.weight" in [group.name for group in found.groups]


def test_pact_quantizes_all_but_the_recurrent_layers():
    quantization = prepare_quantization(CRNNetwork(5, **SMALL), QuantizationChoice.INT8_QAT_PACT)
    assert quantization is not None
    assert "head.fc._layer" in quantization.layers and len(quantization.layers) > 30
    assert not any("lstm" in name for name in quantization.layers)
