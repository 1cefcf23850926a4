"""README's commands of the toolkits as they are printed, on configuration files in the toolkits'
form, whose data are named by relative paths, as in those that the toolkits ship."""

import importlib.util
import json

import numpy as np
import pytest
from PIL import Image

from tests.search.readme import Home, section
from tests.trainables.tasks.toolkits import segmentation_data

pytestmark = pytest.mark.slow

# What is not run here, and why.
ELSEWHERE = {
    "pip": "the tests' environment has the toolkits that can be had",
    "paddledetection": "a YOLOv3 that finds anything at 320 pixels has to learn for minutes",
    "paddleocr": "so has a DB at 736 x 1280; make configs runs both toolkits' files",
}

CLASSIFIER = """
Arch: {name: MobileNetV3_small_x0_35, class_num: 2}
DataLoader:
  Train: {dataset: DATASET, sampler: {batch_size: 4}}
  Eval: {dataset: DATASET, sampler: {batch_size: 4}}
"""
DATASET = """{name: ImageNetDataset, image_root: ./photos, cls_label_path: ./photos/list.txt,
    transform_ops: [ResizeImage: {size: 64}, NormalizeImage: {order: ''}]}"""


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture
def home(workplace, tmp_path, patch):
    patch.setenv("RAY_ADDRESS", workplace.address)
    folder = tmp_path / "home"
    folder.mkdir()
    return Home(folder, patch)


def relative(home, written, name):
    """Give a configuration README's name and its paths as the toolkits write theirs."""
    text = written.read_text().replace(str(home.folder), ".")
    written.unlink()
    (home.folder / name).write_text(text)


def train(home, task, weights, steps, rate=0.02, **options):
    """Train a model from nothing on the task's own batches, and leave its weights."""
    import paddle

    from trainables.loading import load_task
    from trainables.training import Trainer

    with home.patch.context() as patch:
        patch.chdir(home.folder)
        loaded = load_task(task, {"weights": "none", **options})
        paddle.seed(0)
        model = loaded.build_untrained()
        Trainer(model, loaded, steps=steps, learning_rate=rate, batch_size=4, seed=0).run(steps)
    paddle.save(model.state_dict(), str(home.folder / weights))


def delivered(home, task):
    """Run README's command of a task; return the manifest."""
    (line,) = (line for line in section("Your toolkit's model") if f"--task {task} " in line)
    home.settings(out="run", alignment=64)
    assert home.run(line) == 0
    assert (home.folder / "run" / "model" / "inference.pdmodel").is_file()
    return json.loads((home.folder / "run" / "manifest.json").read_text())


def test_every_command_is_run_here_or_not_for_a_reason():
    here = {"paddleclas", "paddleseg"}
    for line in section("Your toolkit's model"):
        first = line.split()[0]
        name = first if first != "python" else line.split()[line.split().index("--task") + 1]
        assert (name in here) != (name in ELSEWHERE), line


@pytest.mark.skipif(importlib.util.find_spec("paddleclas") is None, reason="no PaddleClas")
def test_paddleclas(home):
    (home.folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    lines = []
    for number in range(12):
        bright = number // 2 % 2
        pixels = rng.integers(0, 90, (70, 80, 3)) + 150 * bright
        Image.fromarray(pixels.astype(np.uint8)).save(home.folder / f"photos/{number}.jpg")
        lines.append(f"{number}.jpg {bright}")
    (home.folder / "photos" / "list.txt").write_text("\n".join(lines))
    config = CLASSIFIER.replace("DATASET", DATASET)
    (home.folder / "ResNet50_vd.yaml").write_text(config)
    train(home, "paddleclas", "model.pdparams", 20, config_file="ResNet50_vd.yaml")
    assert delivered(home, "paddleclas")["metric"]["baseline_test"] > 0


def test_paddleseg(home):
    pytest.importorskip("paddleseg.models")
    model = "{type: FastSCNN, num_classes: 2, enable_auxiliary_loss: false}"
    relative(home, segmentation_data(home.folder, model, 1), "pp_liteseg.yml")
    train(home, "paddleseg", "model.pdparams", 30, config_file="pp_liteseg.yml", image_size=64)
    assert delivered(home, "paddleseg")["metric"]["baseline_test"] > 0.3
