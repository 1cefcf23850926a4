"""Code that computes sizes with operators gives the same groups as code that reads `.shape`."""

import numpy as np
import paddle
import pytest
from paddle import nn

from tests.trainables.compression.networks import IMAGE, Between, conv
from trainables.compression.graph.groups import survey_groups
from trainables.compression.graph.modes import tracing
from trainables.compression.graph.sizes import known_sizes
from trainables.task import ModelInput


def words(rows_and_columns):
    """A map becomes a list of tokens and a map again, as in SegFormer and OCRNet."""

    def between(x):
        rows, columns = rows_and_columns(x)
        listed = x.flatten(2).transpose([0, 2, 1])
        return listed.transpose([0, 2, 1]).reshape([0, x.shape[1], rows, columns])

    return between


def by_product(x):
    sizes = paddle.shape(x)
    # Computed, concatenated, and converted to a number.
    whole = paddle.concat([sizes[:2], (sizes[2] * sizes[3]).reshape([1])])
    return x.reshape(whole).reshape([0, x.shape[1], int(sizes[2]), -1])


def by_branch(x):
    """Only the branch chosen by these sizes is traced."""
    return x if paddle.shape(x)[2] == 16 else x[:, :4]


def by_attributes_behind(x):
    """Code that reads `.shape` after a reshape by computed sizes."""
    rows = paddle.shape(x)[2]
    x = x.reshape([0, 0, rows, rows])
    samples, channels, height, width = x.shape
    return x.reshape([samples, channels, height * width]).reshape([0, 0, height, width])


def by_range(x):
    return x + paddle.arange(paddle.shape(x)[3]).astype("float32").reshape([1, 1, 1, -1])


class Sized(Between):
    """Concatenates a map resized to the size of the other one."""

    def __init__(self):
        super().__init__(None)
        self.last = conv(16, 6)

    def body(self, x):
        x = self.first(x)
        low = nn.functional.avg_pool2d(x, 2)
        up = nn.functional.interpolate(low, size=paddle.shape(x)[2:], mode="bilinear")
        ones = paddle.ones([1, 1, paddle.shape(x)[2], 1])
        return self.last(paddle.concat([up * ones, x.expand(paddle.shape(x))], axis=1))


class Listed(Between):
    """Gates in a list of parameters, read by iterating over it."""

    def __init__(self):
        super().__init__(None)
        self.gates = nn.ParameterList([self.create_parameter([1, 8, 1, 1]) for _ in range(2)])

    def body(self, x):
        x = self.first(x)
        for gate in self.gates:
            x = x * gate
        return self.last(x)


@pytest.mark.parametrize(
    "network",
    [
        lambda: Between(words(lambda x: x.shape[2:])),
        lambda: Between(words(lambda x: paddle.shape(x)[2:])),
        lambda: Between(words(lambda x: (paddle.shape(x)[2], -1))),
        *(
            lambda between=between: Between(between)
            for between in (by_product, by_branch, by_attributes_behind, by_range)
        ),
        Sized,
        Listed,
    ],
)
def test_computed_sizes_exclude_no_group(network):
    survey = survey_groups(network, IMAGE)
    assert [group.name for group in survey.groups] == ["first.weight", "last.weight"]
    assert survey.excluded == ()


def test_an_unsupported_form_of_an_operator_excludes_only_its_own_channels():
    """A convolution with computed weights, as in RTFormer's attention."""

    def between(x):
        return nn.functional.conv2d(x, x.mean([0, 2, 3]).reshape([8, 1, 1, 1]), groups=8)

    survey = survey_groups(lambda: Between(between), IMAGE)
    assert [group.name for group in survey.groups] == ["last.weight"]
    assert "not a layer's weight" in survey.excluded[0].reason


def test_sizes_have_paddles_values_and_data_has_none():
    program = paddle.static.Program()
    found = {}
    with tracing(program), known_sizes(program):
        x = paddle.static.data("x", [2, 3, 4, 5])
        sizes = paddle.shape(x)
        found["product"] = int(sizes[2] * sizes[3])
        found["numpy"] = sizes.numpy()
        found["range"] = list(range(sizes[0]))
        found["halves"] = float(sizes[3] / 2)
        found["list"] = (sizes[1:] * 2).tolist()
        found["equal"] = bool(sizes[0] == 2), bool(sizes[0] == 3)
        found["nonzero"] = paddle.nonzero(x).shape
        with pytest.raises(TypeError):
            int(x.mean())
    assert np.array_equal(found.pop("numpy"), [2, 3, 4, 5])
    assert found == {
        "product": 20,
        "range": [0, 1],
        "halves": 2.5,
        "list": [6, 8, 10],
        "equal": (True, False),
        "nonzero": (-1, 4),
    }
    assert "__index__" not in vars(paddle.static.Variable)


def test_segformers_groups_are_found():
    """PaddleSeg's model, whose reshapes take all sizes from paddle.shape."""
    import paddleseg.models
    from paddleseg.models.backbones import MixVisionTransformer_B0

    from trainables.compression.graph.dependency import find_dependencies

    backbone = MixVisionTransformer_B0()
    model = paddleseg.models.SegFormer(num_classes=4, backbone=backbone, embedding_dim=32)
    model.eval()
    image = ModelInput("image", (3, 64, 64))
    assert len(find_dependencies(model, (image,)).groups) == 21
