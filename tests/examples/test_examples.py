"""Examples, run on models exported as a run delivers them, with a manifest."""

import json
from dataclasses import asdict

import numpy as np
import paddle
import pytest
from paddle import nn
from PIL import Image

from examples.deployed import Deployed
from tests.helpers.printed import commands_of, filled
from tests.search.readme import Home
from trainables.deployment.deploy_file import DEPLOY_FILE, deploy_source
from trainables.deployment.engines.registry import LISTINGS, runtime
from trainables.deployment.export import export_float
from trainables.task import ModelInput

SIDE = 32
# Those that run on any machine that has all extras.
ENGINES = [kind for kind, listing in LISTINGS.items() if not listing.on_gpu]


def deliver(model, folder, channels=3, side=SIDE, engine="onednn", **spec):
    """Write a model and the fields of a manifest that examples read."""
    given = ModelInput("image", (channels, side, side), **spec)
    export_float(model, [given], folder / "model")
    chosen = runtime(engine)
    chosen.prepare(folder / "model", "float")
    set_up = chosen.load(folder / "model", "float", 1).configuration
    described = {**asdict(given), "shape": [None, channels, side, side]}
    manifest = {
        "input": described,
        "more_inputs": [],
        "engine_config": dict(set_up.options),
        "engine_files": set_up.files,
        "int8_operators": set_up.int8_operators,
        "deleted_passes": set_up.deleted_passes,
        "latency_ms": {"threads": 1},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "model" / DEPLOY_FILE).write_text(deploy_source(engine, [given]))
    return folder


class Bright(nn.Layer):
    """Scores of two classes, dark and bright, per pixel or for the whole image."""

    def __init__(self, pooled=False):
        super().__init__()
        self.pooled = pooled
        self.scores = nn.Conv2D(3, 2, 1)
        weight = np.array([-1.0, 1.0], "float32").repeat(3).reshape(2, 3, 1, 1)
        self.scores.weight.set_value(weight)
        self.scores.bias.set_value(np.array([1.5, -1.5], "float32"))

    def forward(self, x):
        scores = self.scores(x)
        return scores.mean([2, 3]) if self.pooled else scores


class Attention(nn.Layer):
    """Self-attention that an engine with all of its passes computes wrongly."""

    def __init__(self):
        super().__init__()
        self.query, self.key = nn.Conv2D(3, 8, 1), nn.Conv2D(3, 8, 1)

    def forward(self, x):
        query = self.query(x).reshape([0, 8, -1]).transpose([0, 2, 1])
        return nn.functional.softmax(query @ self.key(x).reshape([0, 8, -1])).max(1)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_model_with_self_attention_gives_what_it_gave_in_the_framework(engine, tmp_path):
    paddle.seed(0)
    model = Attention()
    deployed = Deployed(deliver(model, tmp_path, engine=engine, scale=1 / 128))
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    expected = model(paddle.to_tensor(deployed.preprocess(pixels))).numpy()
    (found,) = deployed(pixels)
    np.testing.assert_allclose(found, expected, atol=1e-5)


class Cores(nn.Layer):
    """Bright pixels, as DB's map of the cores of text lines."""

    def __init__(self):
        super().__init__()
        self.map = nn.Conv2D(3, 1, 1)
        self.map.weight.set_value(np.full((1, 3, 1, 1), 7.0, "float32"))
        self.map.bias.set_value(np.array([-10.0], "float32"))

    def forward(self, x):
        return nn.functional.sigmoid(self.map(x))


@pytest.fixture
def image(tmp_path):
    """Bright in the left half, twice the size of the model's input."""
    pixels = np.zeros((2 * SIDE, 2 * SIDE, 3), np.uint8)
    pixels[16:48, :SIDE] = 255
    Image.fromarray(pixels).save(tmp_path / "image.png")
    return str(tmp_path / "image.png")


@pytest.fixture
def as_printed(tmp_path, monkeypatch):
    """Run the guide's line of an example on `run`, with files for its other words."""

    def run(name, **files):
        lines = commands_of("deploying")
        (line,) = (line for line in lines if f"examples.{name} " in line)
        assert Home(tmp_path, monkeypatch).run(filled(line, RUN="run", **files)) == 0

    return run


def test_pixels_come_in_as_the_manifest_says(tmp_path):
    spec = {"scale": 1 / 255, "mean": (0.1, 0.2, 0.3), "std": (1.0, 2.0, 4.0)}
    run = deliver(Bright(), tmp_path / "run", **spec, channel_order="BGR")
    red = np.full((SIDE, SIDE, 3), (255, 0, 0), np.uint8)
    tensor = Deployed(run).preprocess(red)
    assert tensor.shape == (1, 3, SIDE, SIDE) and tensor.dtype == np.float32
    assert tensor[0, :, 0, 0] == pytest.approx([-0.1, -0.1, (1 - 0.3) / 4], abs=1e-6)


def test_grey_models_get_one_channel(tmp_path):
    run = deliver(nn.Conv2D(1, 2, 1), tmp_path / "run", channels=1, scale=1 / 255)
    assert Deployed(run)(np.zeros((50, 50, 1), np.uint8))[0].shape == (1, 2, SIDE, SIDE)


def test_classify(tmp_path, image, capsys, as_printed):
    deliver(Bright(pooled=True), tmp_path / "run", scale=1 / 255, mean=(0.0,) * 3)
    as_printed("classify", IMAGE=image)
    assert capsys.readouterr().out.startswith("class 0: ")


def test_segment_colours_what_is_not_background(tmp_path, image, capsys, as_printed):
    deliver(Bright(), tmp_path / "run", scale=1 / 255)
    as_printed("segment", IMAGE=image, PICTURE="picture.png")
    picture = np.asarray(Image.open(tmp_path / "picture.png"))
    assert picture.shape == (2 * SIDE, 2 * SIDE, 3)
    assert (picture[:, SIDE + 4 :] == 0).all()
    assert (picture[20:44, 4 : SIDE - 4] != 255).all()
    assert "25.0% of the image" in capsys.readouterr().out


def test_find_text_frames_the_bright_part(tmp_path, image, capsys, as_printed):
    deliver(Cores(), tmp_path / "run", scale=1 / 255)
    as_printed("find_text", IMAGE=image, PICTURE="picture.png")
    assert "1 lines" in capsys.readouterr().out
    before, after = (np.asarray(Image.open(p)) for p in (image, tmp_path / "picture.png"))
    assert (before != after).any()


def test_detect_draws_boxes(tmp_path, capsys, as_printed):
    pytest.importorskip("ppdet")
    from tests.trainables.tasks.toolkits import detection_data
    from trainables.tasks.paddledetection.task import make_task

    config = detection_data(tmp_path)
    paddle.seed(0)
    task = make_task(str(config), "", image_size=SIDE)
    model = task.build_untrained()
    # Every cell predicts a box with high confidence.
    for convolution in model.yolo_head.yolo_outputs:
        convolution.bias.set_value(np.full(convolution.bias.shape, 3.0, "float32"))
    deliver(model, tmp_path / "run", scale=1 / 255)
    source = "images/train0.png"
    as_printed("detect", CONFIG_FILE=config.name, IMAGE=source, PICTURE="picture.png")
    said = capsys.readouterr().out.strip().splitlines()[-1]
    assert int(said.split()[1]) > 0
    assert Image.open(tmp_path / "picture.png").size == (96, 96)


@pytest.mark.parametrize("architecture", ["FasterRCNN", "MaskRCNN"])
def test_detect_two_stage_draws_what_the_heads_find_on_the_deployed_maps(
    tmp_path, capsys, as_printed, architecture
):
    pytest.importorskip("ppdet.modeling")
    from pycocotools.mask import decode

    from tests.trainables.tasks.toolkits import PYRAMID, rcnn_data
    from trainables.tasks.paddledetection.task import make_task

    config, side = rcnn_data(tmp_path, PYRAMID, architecture), 64
    paddle.seed(0)
    task = make_task(str(config), "", side)
    detector = task.detector()
    for _ in range(40):
        detector.backbone({"image": paddle.randn([4, 3, side, side])})
    paddle.save(detector.state_dict(), str(tmp_path / "w.pdparams"))
    task.weights = tmp_path / "w.pdparams"
    run = deliver(task.build_model(), tmp_path / "run", side=side, scale=1 / 255)
    image, picture = str(tmp_path / "images" / "val0.png"), str(tmp_path / "picture.png")
    words = {"CONFIG_FILE": config.name, "WEIGHTS": "w.pdparams"}
    as_printed("detect_two_stage", IMAGE=image, PICTURE=picture, **words)
    count = int(capsys.readouterr().out.rsplit(": ", 1)[1].split()[0])
    model = Deployed(run)
    found = task.detections(model(model.read(image)), [(side, side)])[0]
    shown = [box for box in found if box.score >= 0.3]
    assert count == len(shown) > 0
    if architecture == "MaskRCNN":
        before, after = (np.asarray(Image.open(file), int) for file in (image, picture))
        covered = sum(decode(box.mask) for box in shown) > 0
        assert covered.any()
        changed = Image.fromarray((before != after).any(2)).resize((side, side))
        assert np.asarray(changed)[covered].mean() > 0.9
