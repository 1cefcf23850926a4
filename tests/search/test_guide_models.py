"""The guides' commands for own images and the toolkits' models as they are printed, each through to
a delivered model, and the examples on those models."""

import importlib.util
import json

import pytest
from PIL import Image

from tests.search import guide_models
from tests.search.readme import Home, page

pytestmark = pytest.mark.slow


@pytest.fixture
def home(workplace, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", workplace.address)
    folder = tmp_path / "home"
    folder.mkdir()
    return Home(folder, monkeypatch)


def delivered(home, make, section, task, **settings):
    """Run the guide's command of a task on what `make` leaves; return the manifest."""
    (line,) = (line for line in page(section) if f"--task {task} " in line)
    with home.inside():
        make()
    home.settings(
        out="RUN",
        # The unpruned model alone, for no group has so many channels and no branch is taken out: a
        # step of training would harm weights that were never trained in earnest.
        alignment=100_000,
        branches=False,
        trials=1,
        batch_size=2,
        eval_batch=2,
        latency_effort=0.05,
        **settings,
    )
    assert home.run(line) == 0
    assert (home.folder / "RUN" / "model" / "inference.pdmodel").is_file()
    manifest = json.loads((home.folder / "RUN" / "manifest.json").read_text())
    assert manifest["trials"]["complete"] == 1
    return manifest


def shown(home, name, capsys, **files):
    """Run the guide's line of an example on RUN; return what it says.

    `files` are names of the folder for the words of the line.
    """
    (line,) = (line for line in page("deploying") if f"examples.{name} " in line)
    for word, file in files.items():
        assert word in line
        line = line.replace(word, file)
    capsys.readouterr()
    assert home.run(line) == 0
    return capsys.readouterr().out


def size_of(home):
    return Image.open(home.folder / "PICTURE.png").size


def test_own_images(home, capsys):
    manifest = delivered(home, guide_models.own_images, "own-images", "classification")
    assert manifest["metric"]["baseline_test"] > 0.8
    bright = shown(home, "classify", capsys, IMAGE="photos/2.jpg")
    assert bright.startswith("class ") and len(bright.splitlines()) == 2


@pytest.mark.skipif(importlib.util.find_spec("paddleclas") is None, reason="no PaddleClas")
def test_paddleclas(home):
    make = guide_models.paddleclas
    manifest = delivered(home, make, "toolkits", "paddleclas")
    assert manifest["metric"]["baseline_test"] > 0.6


def test_paddleseg(home, capsys):
    pytest.importorskip("paddleseg.models")
    make = guide_models.paddleseg
    manifest = delivered(home, make, "toolkits", "paddleseg")
    assert manifest["metric"]["baseline_test"] > 0.3
    assert manifest["input"]["shape"][2:] == [256, 256]
    said = shown(home, "segment", capsys, IMAGE="0.png", PICTURE="PICTURE.png")
    assert "of the image" in said and size_of(home) == (96, 80)


def test_paddledetection(home, capsys):
    pytest.importorskip("ppdet.modeling")
    make = guide_models.paddledetection
    manifest = delivered(home, make, "toolkits", "paddledetection")
    assert manifest["metric"]["baseline_test"] > 0.3
    files = {"CONFIG_FILE": "yolov3.yml", "IMAGE": "images/val0.png", "PICTURE": "PICTURE.png"}
    assert int(shown(home, "detect", capsys, **files).split()[-2]) > 0
    assert size_of(home) == (96, 96)


def test_paddleocr(home, capsys):
    make = guide_models.paddleocr
    manifest = delivered(home, make, "toolkits", "paddleocr")
    assert manifest["metric"]["baseline_test"] == 1
    files = {"IMAGE": "text/val0.png", "PICTURE": "PICTURE.png"}
    assert "1 lines" in shown(home, "find_text", capsys, **files)
    assert size_of(home) == (320, 184)
