"""Each family's small data: as the toolkits read them, and no split showing any of another."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from tests.models.data import classification, detection, segmentation, text
from tests.models.zoo import CASES
from trainables.data.problems import Problems
from trainables.data.text import check_samples, read_labels


def needs(package):
    """Skip where a package's data are not installed; it cannot be imported without its own."""
    return pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed")


def test_classification(tmp_path, monkeypatch):
    monkeypatch.setattr(classification, "COUNTS", {"train": 30, "val": 20, "test": 20})
    classification.write(tmp_path)
    lines = (tmp_path / "train_list.txt").read_text().splitlines()
    assert len(lines) == 30 and len({line.split()[1] for line in lines}) > 5
    assert Image.open(tmp_path / lines[0].split()[0]).size == (28, 28)


def test_segmentation(tmp_path):
    segmentation.write(tmp_path)
    for split, least in (("train", 100), ("val", 40), ("test", 40)):
        lines = (tmp_path / f"{split}.txt").read_text().splitlines()
        assert len(lines) >= least
        image, mask = lines[0].split()
        assert Image.open(tmp_path / image).size == (segmentation.SIDE,) * 2
        assert set(np.unique(np.asarray(Image.open(tmp_path / mask)))) <= {0, 1}


@pytest.mark.parametrize("size", [(2299, 2472), (1249, 1035), (400, 400)])
def test_no_tile_shows_two_splits(size):
    parts = list(detection.regions(*size).values())
    for index, (left, top, right, bottom) in enumerate(parts):
        assert right - left >= detection.SIDE and bottom - top >= detection.SIDE
        assert all(
            right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top
            for other in parts[index + 1 :]
        )
        for start in detection.starts(left, right):
            assert left <= start <= right - detection.SIDE


def test_boxes_of_a_tile_are_cut_off_at_its_sides():
    boxes = np.array([[10.0, 10, 50, 50], [-30, 0, 10, 40], [150, 0, 200, 20], [300, 0, 310, 9]])
    found = detection.shown(boxes, 0, 0)
    # Of the second a quarter is shown, of the third a fifth, of the fourth nothing.
    assert found.tolist() == [[10, 10, 50, 50]]
    assert detection.shown(boxes, -20, 0)[1].tolist() == [0, 0, 30, 40]


@pytest.mark.slow
@needs("deepforest")
def test_detection(tmp_path):
    detection.write(tmp_path)
    counts = {}
    for split in ("train", "val", "test"):
        content = json.loads((tmp_path / f"{split}.json").read_text())
        counts[split] = (len(content["images"]), len(content["annotations"]))
        assert all((tmp_path / "images" / i["file_name"]).is_file() for i in content["images"])
    assert all(images >= 20 and boxes >= 60 for images, boxes in counts.values()), counts


@needs("skimage")
def test_text_is_where_the_label_says(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "COUNTS", {"train": 6, "val": 3, "test": 3})
    text.write(tmp_path)
    problems = Problems()
    samples = read_labels(tmp_path / "train.txt", tmp_path, problems)
    check_samples(samples, problems)
    problems.raise_if_any()
    assert len(samples) == 6 and sum(len(sample.regions) for sample in samples) >= 6
    # Something is drawn there: letters are far from what they stand on.
    spreads = []
    for sample in samples:
        pixels = np.asarray(Image.open(sample.image), float)
        for region in sample.regions:
            corners = np.array(region.points)
            (left, top), (right, bottom) = corners.min(0).astype(int), corners.max(0).astype(int)
            spreads.append(np.ptp(pixels[top:bottom, left:right].mean(2)))
    assert np.median(spreads) > text.LEAST_CONTRAST


@pytest.mark.parametrize("name", CASES)
def test_every_model_has_a_task_of_its_family(name):
    case = CASES[name]
    assert case.task in ("classification", "paddleseg", "paddledetection", "paddleocr")
    assert case.family in ("classification", "segmentation", "detection", "text")
