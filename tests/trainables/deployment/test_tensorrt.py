"""What TensorRT is built from: collected on the CPU here, where the shapes are the same."""

import re

import numpy as np
import paddle
import paddle.inference
import paddle.nn.functional as F
import pytest

from spaces.plan import QuantizationChoice
from tests.trainables.deployment.engines.exports import exported
from trainables.deployment import gpu, tensorrt
from trainables.deployment.export import export_float
from trainables.deployment.exported import PADDLE_FILES, write_sizes
from trainables.deployment.program import read_input_shapes
from trainables.task import ModelInput, timed_shapes

pytestmark = pytest.mark.skipif(gpu.has_gpu(), reason="there is a GPU")


class Sized(paddle.nn.Layer):
    """Reads shapes, folds the batch into another axis, has two inputs."""

    def __init__(self):
        super().__init__()
        self.head = paddle.nn.Linear(5, 1)

    def forward(self, z, a):
        size = paddle.shape(z)
        wide = F.interpolate(z, size=[8, 8], mode="nearest")
        rows = wide.transpose([0, 2, 3, 1]).reshape([-1, 3])
        back = rows.reshape([size[0], 64 * 3])
        return back.sum(1, keepdim=True) + self.head(a), paddle.concat([z, z], 1)


def as_paddle_collects(folder, batches, target):
    """Return what Paddle writes if the batches themselves are run."""
    config = paddle.inference.Config(*(str(folder / name) for name in PADDLE_FILES))
    config.disable_mkldnn()
    config.switch_ir_optim(False)
    config.disable_glog_info()
    config.collect_shape_range_info(str(target))
    predictor = paddle.inference.create_predictor(config)
    for batch in batches:
        for name, shape in zip(predictor.get_input_names(), read_input_shapes(folder), strict=True):
            handle = predictor.get_input_handle(name)
            handle.copy_from_cpu(np.ones((batch, *shape), "float32"))
        predictor.run()
    del predictor, handle
    return target.read_text()


def ranges(text):
    """Return the ranges by tensor and field, of text in Paddle's form."""
    found = {}
    for block in text.split("shape_range_info")[1:]:
        name = re.search(r'name: "(.*)"', block).group(1)
        fields = re.findall(r"(\w+_(?:shape|value)): (-?\d+)", block)
        found[name] = {
            field: [int(size) for other, size in fields if other == field] for field, _ in fields
        }
    return found


@pytest.mark.parametrize("timed, largest", [(1, 9), (4, 9), (9, 9), (9, 1)])
def test_the_timed_batch_is_inside_the_range_and_the_best(timed, largest, tiny_export):
    builds = tensorrt.Builds(timed=timed, largest=largest)
    workshop = tensorrt.Workshop(tiny_export, "float", builds)
    assert read_input_shapes(tiny_export) == [(1, 14, 14)]
    image = ranges((workshop._folder / tensorrt.SHAPES).read_text())["image"]
    assert {field: sizes[0] for field, sizes in image.items()} == {
        "min_shape": 1,
        "max_shape": 9,
        "opt_shape": timed,
    }


@pytest.mark.parametrize("network", ["tiny", "quantized", "sized"])
def test_ranges_are_those_that_paddle_collects_from_the_batches(
    network, untrained, tiny_export, tmp_path
):
    folder = tmp_path / "export"
    if network == "tiny":
        folder = tiny_export
    elif network == "quantized":
        exported("onednn", untrained, QuantizationChoice.INT8_PTQ, folder)
    else:
        export_float(Sized(), [ModelInput("z", (3, 4, 4)), ModelInput("a", (5,))], folder)
    # The most frequent batch is the best.
    expected = as_paddle_collects(folder, (1, 9, 4, 4), tmp_path / "shapes")
    found = tensorrt.collected_shapes(folder, tensorrt.Builds(timed=4, largest=9))
    assert ranges(found) == ranges(expected)
    assert len(ranges(found)) > 5


def test_ranges_are_over_all_sizes_and_the_first_is_the_best(tmp_path):
    paddle.seed(0)
    model = paddle.nn.Sequential(paddle.nn.Conv2D(3, 4, 3, stride=2), paddle.nn.ReLU())
    spec = ModelInput("image", (3, 9, 20), more_shapes=((3, 15, 12),))
    export_float(model, [spec], tmp_path)
    one = tensorrt.digest(tmp_path, "float", tensorrt.Builds())
    write_sizes(tmp_path, timed_shapes([spec]))
    assert tensorrt.digest(tmp_path, "float", tensorrt.Builds()) != one
    found = ranges(tensorrt.collected_shapes(tmp_path, tensorrt.Builds(timed=2, largest=9)))
    assert found["image"] == {
        "min_shape": [1, 3, 9, 12],
        "max_shape": [9, 3, 15, 20],
        "opt_shape": [2, 3, 9, 20],
    }
    assert [1, 4, 4, 5] in [of["min_shape"] for of in found.values()]


def test_an_engine_is_kept_by_content(tiny_export, tmp_path):
    builds = tensorrt.Builds(tmp_path / "kept", 4, 8)
    first = tensorrt.Workshop(tiny_export, "float16", builds)
    assert not first.found
    (first._folder / "trt_serialized_1").write_bytes(b"engine")
    first.keep()
    again = tensorrt.Workshop(tiny_export, "float16", builds)
    assert again.found
    assert (again._folder / "trt_serialized_1").read_bytes() == b"engine"
    assert (again._folder / tensorrt.SHAPES).is_file()
    assert len([*builds.folder.iterdir()]) == 1
    # One that is built again for another batch is the process's own.
    (again._folder / "trt_serialized_1").write_bytes(b"larger")
    again.keep()
    assert tensorrt.Workshop(tiny_export, "float16", builds).found
    others = [("float", builds), ("float16", tensorrt.Builds(builds.folder, 2, 8))]
    digests = {tensorrt.digest(tiny_export, *other) for other in others}
    assert len(digests | {tensorrt.digest(tiny_export, "float16", builds)}) == 3


def test_engines_of_other_weights_are_others(untrained, tiny_export, tmp_path):
    model = untrained.build_model()
    model.head.weight.set_value(model.head.weight + np.float32(1))
    export_float(model, untrained.inputs, tmp_path)
    builds = tensorrt.Builds()
    assert tensorrt.digest(tmp_path, "float", builds) != tensorrt.digest(
        tiny_export, "float", builds
    )


def test_the_oldest_engines_are_forgotten(tiny_export, tmp_path, monkeypatch):
    monkeypatch.setattr(tensorrt, "KEPT", 2)
    for timed in (1, 2, 3):
        builds = tensorrt.Builds(tmp_path, timed, 4)
        tensorrt.Workshop(tiny_export, "float", builds).keep()
        assert tensorrt.Workshop(tiny_export, "float", builds).found
    assert len([*tmp_path.iterdir()]) == 2


def test_a_folder_that_cannot_be_written_is_no_error(tiny_export, tmp_path):
    (tmp_path / "file").write_text("")
    builds = tensorrt.Builds(tmp_path / "file", 1, 2)
    workshop = tensorrt.Workshop(tiny_export, "float", builds)
    workshop.keep()
    assert not tensorrt.Workshop(tiny_export, "float", builds).found
