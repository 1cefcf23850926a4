"""Bad inputs of `--task exported`: each is refused in one line, before anything is trained."""

import shutil

import numpy as np
import onnx
import paddle
import pytest
from onnx import TensorProto, helper
from paddle import nn
from PIL import Image

from spaces.errors import UserError
from spaces.plan import QuantizationChoice
from tests.trainables.compression.networks import IMAGE, Residual
from tests.trainables.tasks.exported.exports import export
from trainables.compression.quantization import export_candidate
from trainables.deployment.program import path_prefix
from trainables.loading import load_task
from trainables.models import new_model
from trainables.settings import TrialSettings
from trainables.task import ModelInput

PROGRAM, WEIGHTS = "inference.pdmodel", "inference.pdiparams"
SHAPE = (3, 16, 16)
CROP = "PreProcess: {transform_ops: [CropImage: {size: 16}, NormalizeImage: {}]}"


def picture(file, seed, size=(20, 24, 3)):
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(file)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """An export, photos and tensors that are all as they should be."""
    folder = tmp_path_factory.mktemp("good")
    paddle.seed(0)
    export(Residual(), IMAGE, folder / "model")
    (folder / "photos").mkdir()
    for number in range(6):
        picture(folder / f"photos/{number}.png", number)
    np.save(folder / "x.npy", np.random.default_rng(0).normal(size=(9, *SHAPE)).astype("f4"))
    return folder


@pytest.fixture
def place(good, tmp_path):
    """A copy of them, which may be spoilt."""
    return shutil.copytree(good, tmp_path / "copy")


def options(place, **changed):
    return {"model": str(place / "model"), "data": str(place / "photos"), **changed}


def refusal(given):
    with pytest.raises(UserError) as caught:
        load_task("exported", given)
    assert "\n" not in str(caught.value) and "make_task() fails" not in str(caught.value)
    return str(caught.value)


def test_what_is_refused_here_is_accepted_when_it_is_whole(place):
    assert load_task("exported", options(place)).inputs[0].shape == SHAPE


# Files of the model.


def missing_weights(place):
    (place / "model" / WEIGHTS).unlink()


def truncated(name):
    def spoil(place):
        file = place / "model" / name
        file.write_bytes(file.read_bytes()[:-50])

    return spoil


def encrypted(name):
    def spoil(place):
        file = place / "model" / name
        file.write_bytes(np.random.default_rng(0).bytes(file.stat().st_size))

    return spoil


def onnx_as_program(place):
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", ends[:1], ends[1:])
    onnx.save(helper.make_model(graph), str(place / "model" / PROGRAM))


def older_format_as_the_newer(place):
    (place / "model" / PROGRAM).rename(place / "model/inference.json")


def other_json(place):
    (place / "model" / PROGRAM).unlink()
    (place / "model/inference.json").write_text('{"base_code": {"magic": "other"}}')


def two_models(place):
    shutil.copy(place / "model" / PROGRAM, place / "model/other.pdmodel")


def no_model(place):
    (place / "model" / PROGRAM).unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    (
        (missing_weights, "copy the weights beside the .pdmodel"),
        (truncated(PROGRAM), "is not an exported Paddle program"),
        (truncated(WEIGHTS), "does not hold the program's weights"),
        (encrypted(PROGRAM), "is not an exported Paddle program"),
        (encrypted(WEIGHTS), "does not hold the program's weights"),
        (onnx_as_program, "is not an exported Paddle program"),
        (older_format_as_the_newer, "inference.json is not an exported Paddle program"),
        (other_json, "inference.json is not an exported Paddle program"),
        (two_models, "several programs, inference.pdmodel and other.pdmodel; name one file"),
        (no_model, "no .pdmodel file; name the folder of an exported model"),
    ),
)
def test_files_of_the_model(place, spoil, said):
    spoil(place)
    assert said in refusal(options(place))


# Images and tensors.


def no_images(place):
    shutil.rmtree(place / "photos")
    (place / "photos").mkdir()


def no_image_among_them(place):
    (place / "photos/3.png").write_text("no image")


def half_an_image(place):
    file = place / "photos/3.png"
    file.write_bytes(file.read_bytes()[:200])


def image_smaller_than_the_crop(place):
    (place / "model/inference.yml").write_text(CROP)
    picture(place / "photos/3.png", 0, (8, 40, 3))


def one_image(place):
    for number in range(1, 6):
        (place / f"photos/{number}.png").unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    (
        (no_images, "has no images"),
        (no_image_among_them, "3.png cannot be read"),
        (half_an_image, "3.png cannot be read"),
        (image_smaller_than_the_crop, "8 x 40 pixels are fewer than the model's crop of 16 x 16"),
        (one_image, "1 different samples; training, validation and test need 3"),
    ),
)
def test_images(place, spoil, said):
    spoil(place)
    assert said in refusal(options(place))


TENSORS = np.random.default_rng(0).normal(size=(9, *SHAPE)).astype("f4")


@pytest.mark.parametrize(
    ("array", "said"),
    (
        (TENSORS[:, :1], "image has shape (9, 1, 16, 16); the model takes (samples, 3, 16, 16)"),
        (TENSORS[..., :8], "has shape (9, 3, 16, 8)"),
        (TENSORS[0, 0, 0, 0], "has shape ()"),
        (TENSORS.astype("c8"), "image is complex64, the model takes float32"),
        (np.full((9, *SHAPE), "1"), "image is <U1, the model takes float32"),
        (TENSORS.astype("f8") * 1e300, "not finite in float32"),
    ),
)
def test_tensors(place, array, said):
    np.savez(place / "data.npz", image=array)
    assert said in refusal(options(place, data=str(place / "data.npz")))


# Options.


@pytest.mark.parametrize(
    ("changed", "said"),
    (
        ({"data": "nowhere"}, "data nowhere is missing"),
        ({"data": 7}, "data 7 is missing"),
        ({"size": "large"}, "size 'large' is not one or two numbers"),
        ({"size": 16.5}, "size 16.5 is not one or two numbers"),
        ({"size": True}, "size True is not one or two numbers"),
        ({"size": [32, 32]}, "was exported for 16 x 16"),
        ({"size": []}, "size [] is not one or two numbers"),
        ({"size": [[16, 16], 32]}, "size [[16, 16], 32] is not one or two numbers"),
        ({"size": [[16, 16], [16, 0]]}, "size [16, 0] is not one or two numbers"),
        ({"size": [[16, 16], [16, 16]]}, "size [16, 16] is given twice"),
        ({"size": [[16, 16], [32, 32]]}, "size [32, 32]: the model was exported for 16 x 16"),
        ({"image_size": 16}, "its options are model, data"),
        ({"outputs": "nothing"}, "'nothing' is no tensor of"),
        ({"outputs": ["linear_0.tmp"]}, "did you mean linear_0.tmp_1?"),
        ({"outputs": 3}, "is not a list of tensors' names"),
        ({"kind": "class_map"}, "does not fit output linear_0.tmp_1, of 2 axes"),
        ({"threshold": "half"}, "threshold 'half' is not between 0 and 1"),
        ({"threshold": 7}, "threshold 7 is not between 0 and 1"),
        ({"batch_size": 0}, "batch_size 0 is not a whole number above 0"),
        ({"augment": "no"}, "augment 'no' is not true or false"),
        ({"mean": "red"}, "mean 'red' is not a number"),
        ({"mean": [None, 1, 1]}, "mean [None, 1, 1] is not a number"),
        ({"resize": 48}, "resize 48 is not exact or line"),
        ({"std": []}, "std [] has a value that is not above 0"),
    ),
)
def test_options(good, changed, said):
    assert said in refusal(options(good, **changed))


# Models.


class Ends(nn.Layer):
    """A residual network with a function of its scores as its end."""

    def __init__(self, end):
        super().__init__()
        self.body, self.end = Residual(), end

    def forward(self, x):
        return self.end(self.body(x))


@pytest.mark.parametrize(
    ("end", "said"),
    (
        (lambda x: (x > 0).astype("int32"), "has no gradient; name floating tensors before it"),
        (lambda x: x.mean(), "an output has no axis of samples"),
        (lambda x: x * float("nan"), "gives values that are not finite"),
    ),
)
def test_outputs(good, tmp_path, end, said):
    folder = export(Ends(end), (ModelInput("x", SHAPE),), tmp_path / "model")
    assert said in refusal(options(good, model=str(folder)))


class Skips(nn.Layer):
    """Takes sides that are even, of 7 or more."""

    def __init__(self):
        super().__init__()
        self.wide, self.half = nn.Conv2D(3, 4, 7, padding="valid"), nn.Conv2D(4, 4, 1, stride=2)

    def forward(self, x):
        x = self.wide(x)
        return x + nn.functional.interpolate(self.half(x), scale_factor=2)


@pytest.mark.parametrize(
    ("size", "said"),
    (
        (None, "has free sizes"),
        (31, "cannot run on x (3, 31, 31); give other sizes"),
        # Paddle computes this outside of its memory.
        (5, "a filter of 7 x 7 is on a map of 5 x 5; give a larger task_options.size"),
        ([[16, 16], [31, 31]], "cannot run on x (3, 31, 31); give other sizes"),
        ([[16, 16], [16, 5]], "a filter of 7 x 7 is on a map of 16 x 5; give a larger"),
    ),
)
def test_sizes(good, tmp_path, size, said):
    model = Skips()
    model.eval()
    free = [paddle.static.InputSpec([None, 3, None, None], "float32", "x")]
    paddle.jit.save(model, path_prefix(tmp_path), input_spec=free)
    assert said in refusal(options(good, model=str(tmp_path), size=size))


def test_a_model_that_is_quantized(good, tmp_path):
    task = load_task("exported", options(good, data=str(good / "x.npy")))
    folder = str(tmp_path)
    settings = TrialSettings(task="exported", run_folder=folder, cache_folder=folder)
    choice = QuantizationChoice.INT8_PTQ
    export_candidate(new_model(task), choice, None, task, settings, tmp_path / "int8", 4)
    assert "is quantized (operator" in refusal(options(good, model=str(tmp_path / "int8")))


@pytest.mark.parametrize(
    ("network", "spec", "said"),
    (
        (nn.Linear(7, 4), ModelInput("input", (7,)), "save its inputs as an .npz"),
        (nn.Conv2D(4, 2, 3), ModelInput("x", (4, 16, 16)), "does not take one image"),
        (nn.Flatten(), ModelInput("input", SHAPE), "has no weights, so nothing can be pruned"),
    ),
)
def test_models_that_take_no_images_or_have_no_weights(good, tmp_path, network, spec, said):
    network.eval()
    shape = paddle.static.InputSpec([None, *spec.shape], "float32", "x")
    paddle.jit.save(network, path_prefix(tmp_path), input_spec=[shape])
    assert said in refusal(options(good, model=str(tmp_path)))
