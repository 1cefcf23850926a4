"""What TensorRT is built from: collected on the CPU here, where the shapes are the same."""

import re

import numpy as np
import pytest

from spaces.plan import QuantizationChoice
from tests.trainables.deployment.engines.exports import exported
from trainables.deployment import gpu, tensorrt
from trainables.deployment.program import read_input_shapes

pytestmark = pytest.mark.skipif(gpu.has_gpu(), reason="there is a GPU")


def ranges(text):
    """Return least, most and best batch by tensor, of those that have a batch axis."""
    found = {}
    for block in text.split("shape_range_info")[1:]:
        name = re.search(r'name: "(.*)"', block).group(1)
        sizes = [re.findall(rf"{kind}_shape: (\d+)", block) for kind in ("min", "max", "opt")]
        if all(sizes):
            found[name] = tuple(int(values[0]) for values in sizes)
    return found


@pytest.mark.parametrize("timed, largest", [(1, 9), (4, 9), (9, 9), (9, 1)])
def test_the_timed_batch_is_inside_the_range_and_the_best(timed, largest, tiny_export):
    builds = tensorrt.Builds(timed=timed, largest=largest)
    workshop = tensorrt.Workshop(tiny_export, "float", builds)
    found = ranges((workshop._folder / tensorrt.SHAPES).read_text())
    assert read_input_shapes(tiny_export) == [(1, 14, 14)]
    assert found["image"] == (1, 9, timed)
    # Tensors inside the network have the range too.
    assert list(found.values()).count((1, 9, timed)) > 5


def test_shapes_of_a_quantized_model_are_collected(untrained, tmp_path):
    exported("onednn", untrained, QuantizationChoice.INT8_PTQ, tmp_path)
    workshop = tensorrt.Workshop(tmp_path, "int8", tensorrt.Builds(timed=4, largest=8))
    assert ranges((workshop._folder / tensorrt.SHAPES).read_text())["image"] == (1, 8, 4)


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
    from trainables.deployment.export import export_float

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
