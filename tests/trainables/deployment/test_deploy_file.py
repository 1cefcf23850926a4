"""deploy.py: what it computes, and that it needs its engine, numpy and Pillow only."""

import itertools
import json
import runpy
from importlib.metadata import packages_distributions
from typing import get_args

import numpy as np
import paddle
import pytest
from paddle import nn
from PIL import Image

from search.records.manifest import InputFigures
from spaces.plan import QuantizationChoice
from tests.helpers.isolated import link_packages, run_isolated
from tests.helpers.tiny.mine import Mine
from tests.trainables.deployment.engines import exports
from trainables.data.image_input import (
    CenterCrop,
    CenterSquare,
    Normalize,
    Pad,
    Preparation,
    Resize,
    Rounding,
    Rule,
)
from trainables.data.preparing import prepare, read_pixels
from trainables.deployment.deploy_file import DEPLOY_FILE, deploy_source, preparation
from trainables.deployment.engines.loaders import LOADERS
from trainables.deployment.engines.registry import LISTINGS, runtime
from trainables.deployment.export import export_float
from trainables.files.codec import decode, encode
from trainables.task import ModelInput

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PIXELS = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
# The packages that pip installs for an engine.
PACKAGES = {
    "onednn": ("paddlepaddle", "setuptools"),
    "openvino": ("openvino",),
    "onnxruntime": ("onnxruntime",),
}
# Lines, but for empty ones, of the longest file of EVERY: two steps with rules, and Paddle.
LONGEST = 82


def given(*steps, order="RGB", shape=(3, 32, 32), **more):
    channels = {} if shape[0] > 1 else {"mean": (0.3,), "std": (0.2,)}
    numbers = {"scale": 1 / 255, "mean": MEAN, "std": STD, **channels}
    return ModelInput(
        "image", shape, channel_order=order, image=Preparation(steps, **more), **numbers
    )


def delivered(folder, spec, kind="onednn", more=(), **fields):
    """Write deploy.py and a manifest with the fields that it reads."""
    (folder / "model").mkdir(parents=True, exist_ok=True)

    def figures(one):
        written = {**json.loads(encode(ModelInput, one)), "shape": [None, *one.shape]}
        return json.loads(InputFigures(**written).model_dump_json())

    inputs = {"input": figures(spec), "more_inputs": [figures(one) for one in more]}
    (folder / "manifest.json").write_text(json.dumps({**inputs, **fields}))
    file = folder / "model" / DEPLOY_FILE
    file.write_text(deploy_source(kind, [spec, *more]))
    return file


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A photograph of a camera that stood on its head."""
    image = Image.fromarray(PIXELS)
    exif = image.getexif()
    exif[0x0112] = 3
    path = tmp_path_factory.mktemp("images") / "turned.jpg"
    image.save(path, exif=exif, quality=90)
    return path


def check(folder, spec, image):
    """deploy.py's tensor equals the trainer's, bit by bit."""
    assert decode(ModelInput, encode(ModelInput, spec)) == spec
    code = runpy.run_path(str(delivered(folder, spec)))
    expected = prepare(read_pixels(image, spec.image, spec.shape[0]), spec)
    found = code["prepare"](code["decoded"](image))
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


EVERY = (
    (Resize("shorter_side", 40, library="opencv"), CenterCrop(32, 32), Normalize()),
    (Resize("shorter_side", 40, interpolation="bicubic"), CenterCrop(32, 32), Normalize()),
    (CenterSquare(0.8), Resize(height=32, width=32, library="opencv"), Normalize(zero_channels=1)),
    (
        Resize("at_least", 64, multiple=32, whole_first=True, most_height=32, most_width=32),
        Normalize(divides=True, double=True),
        Pad(32, 32),
    ),
    (
        Resize("inside_turned", height=20, width=32, library="opencv", by_factor=True),
        Pad(multiple=32, at="center", value=(1.0, 2.0, 3.0)),
        Normalize(double=True),
    ),
    (Resize("height", height=20, multiple=4, rounding="half_up"), CenterCrop(20, 20), Normalize()),
    (Resize("longer_side", 50), Resize(height=32, width=32, interpolation="box"), Normalize()),
    (Resize("line", height=20, width=40, library="opencv"), Normalize(divides=True), Pad(20, 40)),
    (Resize("line", height=20, width=24, library="opencv"), Normalize(divides=True), Pad(20, 24)),
    (Normalize(),),
    (
        Resize("at_most", 50, None, None, 48, 40, 8, "up", True, True, "opencv", "lanczos"),
        Normalize(),
    ),
)


@pytest.mark.parametrize("decoder", ["opencv", "pillow"])
@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize("steps", EVERY)
def test_the_tensor_is_the_trainers(tmp_path, image, steps, order, decoder):
    check(tmp_path, given(*steps, order=order, decoder=decoder), image)


def test_so_it_is_for_grey_images_floats_and_images_that_are_not_turned(tmp_path, image):
    for number, (decoder, library) in enumerate(itertools.product(["opencv", "pillow"], repeat=2)):
        grey = given(Resize(height=32, width=32, library=library), Normalize(), shape=(1, 32, 32))
        check(tmp_path / f"grey{number}", grey, image)
        steps = Resize("at_most", 50, library="opencv", interpolation="area"), Normalize()
        check(tmp_path / f"{number}", given(*steps, decoder=decoder, floats=True), image)
    check(tmp_path / "upright", given(*steps, turned=False), image)


@pytest.mark.parametrize("rule", get_args(Rule))
def test_so_it_is_for_each_rule_and_rounding(tmp_path, image, rule):
    for number, rounding in enumerate(get_args(Rounding), get_args(Rule).index(rule)):
        resize = Resize(
            rule,
            side=70,
            height=50,
            width=70,
            most_width=(None, 48)[number // 2 % 2],
            multiple=(1, 16)[number % 2],
            rounding=rounding,
            whole_first=number % 3 == 0,
            by_factor=number % 4 == 1,
            library=("pillow", "opencv")[number % 2],
        )
        check(tmp_path / str(number), given(resize, Normalize()), image)


@pytest.mark.parametrize("steps", EVERY)
@pytest.mark.parametrize("kind", LOADERS)
def test_it_is_short_and_has_what_this_model_needs_only(kind, steps):
    source = deploy_source(kind, [given(*steps)])
    lines = source.splitlines()
    assert max(map(len, lines)) <= 100, source
    code = [line for line in lines if line.strip() and not line.strip().startswith('"""')]
    assert len(code) <= LONGEST
    modules = {"onednn": "paddle", "openvino": "openvino", "onnxruntime": "onnxruntime"}
    for name, module in modules.items():
        assert (f"import {module}" in source) == (name == kind)
    for step, function in {"pad": "np.empty", "resize": "resize(", "normalize": "std"}.items():
        assert (function in source) == any(s.step == step for s in steps)
    assert ("import cv2" in source) == ("opencv" in str(steps))


def test_the_name_of_an_input_cannot_become_code(tmp_path):
    spec = ModelInput('x"""\nraise SystemExit("{y}")\n', (5,))
    runpy.run_path(str(delivered(tmp_path, spec)))


def test_engines_on_gpus_have_none():
    assert {k for k in LISTINGS if deploy_source(k, [given(Normalize())]) is None} == {
        kind for kind, listing in LISTINGS.items() if listing.on_gpu
    }


def test_what_has_no_steps_is_resized_as_a_whole_or_is_no_image():
    described = ModelInput("x", (1, 28, 20), scale=1 / 255)
    assert preparation(described).steps[0] == Resize(height=28, width=20)
    for shape in ((3, 28, 28), (28,), (2, 28, 28)):
        assert preparation(ModelInput("x", shape)) is None


class Scores(nn.Layer):
    def __init__(self):
        super().__init__()
        self.features, self.head = nn.Conv2D(3, 8, 3), nn.Linear(8, 10)

    def forward(self, x):
        return self.head(nn.functional.relu(self.features(x)).mean([2, 3]))


class Sum(nn.Layer):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(6, 3), nn.Linear(4, 3)

    def forward(self, late, early):
        return self.b(early), self.a(late) + self.b(early)


def exported(folder, model, inputs, kind):
    """Export a model as it is delivered for an engine; return deploy.py and the loaded engine."""
    export_float(model, inputs, folder / "model")
    chosen = runtime(kind)
    chosen.prepare(folder / "model", "float")
    engine = chosen.load(folder / "model", "float", 1)
    return delivered_for(engine, folder, inputs, kind), engine


def delivered_for(engine, folder, inputs, kind):
    """Write deploy.py and the manifest of a loaded engine."""
    told = engine.configuration
    first, *more = inputs
    return delivered(
        folder,
        first,
        kind,
        more,
        engine_config=dict(told.options),
        engine_files=told.files,
        int8_operators=told.int8_operators,
        deleted_passes=told.deleted_passes,
        latency_ms={"threads": 1},
    )


# Runs deploy.py as a command, then keeps its outputs; it ends if another package can be imported.
ALONE = """
import importlib.util, runpy
file, image, outputs, *others = sys.argv[1:]
found = [name for name in others if importlib.util.find_spec(name)]
sys.argv = [file, image]
code = runpy.run_path(file, run_name="__main__")
code["np"].savez(outputs, *code["run"]([sample[None] for sample in code["samples"]]))
sys.exit(f"{found} can be imported" if found else 0)
"""
OTHERS = {"paddle", "openvino", "onnxruntime", "onnx", "cv2", "PIL", "ray", "pydantic", "search"}


@pytest.mark.parametrize("kind", LOADERS)
def test_it_runs_where_only_its_engine_numpy_and_pillow_are_installed(tmp_path, image, kind):
    pytest.importorskip({"onednn": "paddle"}.get(kind, kind))
    check_alone(tmp_path, image, kind, "pillow")


def test_where_opencv_prepares_the_images_it_needs_that_instead_of_pillow(tmp_path, image):
    pytest.importorskip("onnxruntime")
    check_alone(tmp_path, image, "onnxruntime", "opencv")


def check_alone(tmp_path, image, kind, library):
    """deploy.py gives the engine's own outputs where nothing else can be imported."""
    paddle.seed(0)
    steps = Resize("shorter_side", 40, library=library), CenterCrop(32, 32), Normalize()
    spec = given(*steps, decoder=library)
    file, engine = exported(tmp_path, Scores(), [spec], kind)
    packages = tmp_path / "packages"
    packages.mkdir()
    images = {"pillow": "PIL", "opencv": "cv2"}[library]
    link_packages(packages, *PACKAGES[kind], "numpy", packages_distributions()[images][0])
    others = OTHERS - {"paddle" if kind == "onednn" else kind, images}
    ended = run_isolated(packages, ALONE, file, image, tmp_path / "outputs.npz", *others)
    assert ended.returncode == 0, ended.stderr
    (expected,) = engine.run([prepare(read_pixels(image, spec.image), spec)[None]])
    found = np.load(tmp_path / "outputs.npz")["arr_0"]
    np.testing.assert_array_equal(found, expected)
    said = ended.stdout.splitlines()
    assert said[0] == "output 1 10"
    likeliest = np.argsort(-expected[0])[:5]
    assert said[1:] == [f"class {label}: {expected[0, label]:.4g}" for label in likeliest]


@pytest.mark.parametrize("kind", LOADERS)
def test_several_inputs_are_files_of_values_in_the_tasks_order(tmp_path, capsys, kind, monkeypatch):
    pytest.importorskip({"onednn": "paddle"}.get(kind, kind))
    inputs = [ModelInput("z", (6,)), ModelInput("a", (4,))]
    file, engine = exported(tmp_path, Sum(), inputs, kind)
    values = [np.random.default_rng(i).random(s.shape, "f4") for i, s in enumerate(inputs)]
    for spec, one in zip(inputs, values, strict=True):
        np.save(tmp_path / f"{spec.name}.npy", one)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(file), "z.npy", "a.npy"])
    code = runpy.run_path(str(file), run_name="__main__")
    expected = engine.run([one[None] for one in values])
    for one, output in zip(code["run"]([v[None] for v in values]), expected, strict=True):
        np.testing.assert_array_equal(one, output)
    assert capsys.readouterr().out.count("output 1 3\n") == 2
    monkeypatch.setattr("sys.argv", [str(file), "z.npy"])
    with pytest.raises(SystemExit, match=r"usage: python deploy.py z.npy a.npy"):
        runpy.run_path(str(file), run_name="__main__")


@pytest.mark.parametrize("choice", [QuantizationChoice.BFLOAT16, QuantizationChoice.INT8_PTQ])
@pytest.mark.parametrize("kind", LOADERS)
def test_the_precision_is_the_engines(tmp_path, kind, choice, tiny_weights):
    pytest.importorskip({"onednn": "paddle"}.get(kind, kind))
    if choice.precision not in runtime(kind).precisions():
        pytest.skip("no bfloat16 on this engine or processor")
    task = Mine(tiny_weights)
    engine, inputs, _ = exports.exported(kind, task, choice, tmp_path / "model")
    expected = engine.run(inputs)
    code = runpy.run_path(str(delivered_for(engine, tmp_path, task.inputs, kind)))
    (found,) = code["load"](code["FOLDER"], code["MANIFEST"])(inputs)
    np.testing.assert_array_equal(found, expected[0])
