"""Exports in Paddle 3's new format, rebuilt as those in the older one are."""

import json

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn

from spaces.errors import TaskError
from tests.trainables.compression.networks import IMAGE, Between, Chain
from tests.trainables.tasks.exported.exports import export, export_new, rebuilt, samples
from tests.trainables.tasks.exported.test_network import NETWORKS, functions
from trainables.compression.graph.groups import survey_groups
from trainables.models import new_model
from trainables.task import ModelInput
from trainables.tasks.exported.network import build_network
from trainables.tasks.exported.program import find_files, read_program
from trainables.tasks.exported.task import make_task

# Each has operators that the others lack.
CHOSEN = (
    *("Gated", "PixelShuffled", "Attention", "TwoInputs", "Sequence", "Normalized", "Split"),
    *("GroupedTransposed", "Upsampled", "DB", "LeNet", "MobileNetV3", "ShuffleNetV2"),
)


def difference(model, network, arrays):
    with paddle.no_grad():
        found, wanted = (
            paddle.utils.flatten(m(*map(paddle.to_tensor, arrays))) for m in (network, model)
        )
    pairs = zip(found, wanted, strict=True)
    return max(float((one - two).abs().max() / two.std()) for one, two in pairs)


@pytest.mark.parametrize("name", CHOSEN)
def test_outputs_are_those_of_the_model_in_python(name, tmp_path):
    kind, inputs = NETWORKS[name]
    paddle.seed(0)
    model = kind()
    network = rebuilt(export_new(model, inputs, tmp_path))
    for count in (1, 3):
        assert difference(model, network, samples(inputs, count)) < 1e-5


def more(x):
    """Operators that the older format's test does not use."""
    return paddle.sort(x, axis=3) + F.adaptive_max_pool2d(x, 1)


@pytest.mark.parametrize("function", (functions, more))
def test_operators_beyond_those_of_networks(tmp_path, function):
    paddle.seed(0)
    model = Between(function)
    network = rebuilt(export_new(model, IMAGE, tmp_path))
    assert difference(model, network, samples(IMAGE, 3)) < 1e-5


@pytest.mark.parametrize("name", ("Gated", "Residual"))
def test_groups_are_those_of_the_older_format(name, tmp_path):
    kind, inputs = NETWORKS[name]
    model = kind()
    folders = [export_new(model, inputs, tmp_path / "a"), export(model, inputs, tmp_path / "b")]
    new, old = (
        survey_groups(lambda folder=folder: rebuilt(folder), inputs, (), samples(inputs))
        for folder in folders
    )
    assert sorted(g.channels for g in new.groups) == sorted(g.channels for g in old.groups)
    assert len(new.excluded) == len(old.excluded) and len(new.groups) > 1


def test_a_task(tmp_path):
    paddle.seed(0)
    folder = export_new(Chain(), IMAGE, tmp_path / "model")
    np.save(tmp_path / "x.npy", samples(IMAGE, 20)[0])
    task = make_task(str(folder), str(tmp_path / "x.npy"), batch_size=4)
    outputs = new_model(task)(paddle.to_tensor(task._samples.read([0, 1])[0]))
    assert outputs.shape == [2, 4] and task.metric.name == "top1_agreement"


class Free(nn.Layer):
    """For any size of the image; its reshape computes it."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2D(3, 4, 3, padding=1)

    def forward(self, x):
        y = self.conv(x)
        y = y.reshape([0, 4, y.shape[2] * y.shape[3]]).transpose([0, 2, 1])
        return y.reshape([x.shape[0], x.shape[2], x.shape[3], 4])


def test_sizes_that_are_computed(tmp_path):
    model = Free()
    export_new(model, [ModelInput("x", (3, -1, -1))], tmp_path)
    inputs = [ModelInput("x", (3, 12, 8))]
    assert difference(model, rebuilt(tmp_path, inputs), samples(inputs, 3)) < 1e-5


def test_the_file_is_found_among_others(tmp_path):
    export_new(Chain(), IMAGE, tmp_path)
    (tmp_path / "config.json").write_text("{}")
    program = tmp_path / "inference.json"
    assert (
        find_files(tmp_path) == find_files(program) == (program, program.with_suffix(".pdiparams"))
    )


def changed(text):
    return lambda content: content.replace("1.conv2d", text)


@pytest.mark.parametrize(
    ("spoil", "said"),
    (
        (lambda content: content[:-30], "is not an exported Paddle program"),
        (lambda content: content.replace('"pir"', '"other"'), "is not an exported Paddle program"),
        (lambda content: "[]", "is not an exported Paddle program"),
        (changed("1.quantize_linear"), "is quantized (operator"),
        (changed("1.foo"), "operator pd_op.foo is not supported; end the model before it"),
    ),
)
def test_refusals(tmp_path, spoil, said):
    program = export_new(Chain(), IMAGE, tmp_path) / "inference.json"
    assert "1.conv2d" in program.read_text() and json.loads(program.read_text())
    program.write_text(spoil(program.read_text()))
    with pytest.raises(TaskError) as caught:
        build_network(read_program(tmp_path))
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_weights_of_another_model(tmp_path):
    export_new(Chain(), IMAGE, tmp_path)
    weights = tmp_path / "inference.pdiparams"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(TaskError, match="does not hold the program's weights"):
        read_program(tmp_path)


def test_the_end_of_a_model_that_cannot_be_rebuilt_can_be_left_out(tmp_path):
    """A split at places that are computed."""
    model = Between(lambda x: paddle.roll(x, paddle.argmax(x.mean([0, 2, 3])).reshape([1]), [2]))
    program = read_program(export_new(model, IMAGE, tmp_path))
    with pytest.raises(TaskError, match=r"operator pd_op\.roll is not supported"):
        build_network(program)
    inner = next(op.output("Output") for op in program.operations if op.type == "conv2d")
    assert build_network(program, outputs=[inner])
