"""What outputs are, read from programs."""

import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn

from spaces.errors import TaskError
from tests.trainables.compression.networks import IMAGE
from tests.trainables.tasks.exported.exports import export
from trainables.tasks.exported.outputs import matched_tensors, output_kinds
from trainables.tasks.exported.program import read_program


class Ends(nn.Layer):
    """A convolution, and a function of its map as the model's end."""

    def __init__(self, end):
        super().__init__()
        self.conv, self.end = nn.Conv2D(3, 4, 3, padding=1), end

    def forward(self, x):
        return self.end(self.conv(x))


def several(x):
    return F.softmax(x.mean([2, 3])), F.sigmoid(x[:, :1]), x.argmax(1).astype("int32")


ENDS = {
    "scores": (lambda x: x.mean([2, 3]), ["classes"], ["scores"], [1]),
    "softmax": (lambda x: F.softmax(x.mean([2, 3])), ["classes"], ["scores"], [1]),
    "classes": (lambda x: F.softmax(x.mean([2, 3])).argmax(1), ["classes"], ["scores"], [1]),
    "lines": (lambda x: F.softmax(x.mean(2).transpose([0, 2, 1]), 2), ["line"], ["scores"], [2]),
    "class maps": (lambda x: F.softmax(x, 1), ["class_map"], ["scores"], [1]),
    "maps of classes": (lambda x: x.argmax(1).unsqueeze(1), ["class_map"], ["scores"], [1]),
    "map": (lambda x: F.sigmoid(x[:, :1]), ["map"], ["chances"], [-1]),
    "values": (lambda x: x * 2, ["values"], ["values"], [-1]),
    "several": (
        several,
        ["classes", "map", "class_map"],
        ["scores", "chances", "scores"],
        [1, -1, 1],
    ),
}


def program(end, folder):
    paddle.seed(0)
    return read_program(export(Ends(end), IMAGE, folder))


@pytest.mark.parametrize("name", ENDS)
def test_kinds_and_what_is_matched(name, tmp_path):
    end, kinds, forms, axes = ENDS[name]
    found = program(end, tmp_path)
    assert list(output_kinds(found, found.outputs, None)) == kinds
    matched = matched_tensors(found, found.outputs)
    assert [m.form for m in matched] == forms
    assert [m.axis for m in matched] == axes
    # Nothing with a softmax or a choice behind it.
    makers = {name: op.type for op in found.operations for name in op.writes}
    assert not {makers[m.tensor] for m in matched} & {"softmax", "sigmoid", "arg_max"}


def test_kinds_and_tensors_that_the_user_names(tmp_path):
    found = program(several, tmp_path)
    conv = next(op.output("Output") for op in found.operations if op.type == "conv2d")
    (matched,) = matched_tensors(found, found.outputs, [conv])
    assert (matched.tensor, matched.form) == (conv, "values")
    assert output_kinds(found, found.outputs, "values") == ("values",) * 3
    with pytest.raises(TaskError, match=r"kind 'boxes' is not one of classes, line"):
        output_kinds(found, found.outputs, "boxes")
    with pytest.raises(TaskError, match=r"for each of 3 outputs"):
        output_kinds(found, found.outputs, ["map", "map"])
    with pytest.raises(TaskError, match=r"is no tensor of .*did you mean conv2d"):
        matched_tensors(found, found.outputs, [conv[:-1]])
    compared = program(lambda x: x > 0, tmp_path / "compared")
    with pytest.raises(TaskError, match="has no gradient"):
        matched_tensors(compared, compared.outputs)
