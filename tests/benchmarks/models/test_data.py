"""Each family's small data, in the layout that its toolkit reads."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from benchmarks.models.data import classification, detection, segmentation, text
from trainables.data.problems import Problems
from trainables.data.text import check_samples, read_labels


def needs(package):
    """Skip if a package's data are not installed."""
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


def test_boxes_of_a_tile_are_clipped_to_it():
    corners = [[10, 10, 50, 50], [-30, 0, 10, 40], [54, 0, 104, 20], [300, 0, 310, 9]]
    boxes = np.array([[number, *box] for number, box in enumerate(corners, 1)])
    found = detection.shown(boxes, 0, 0)
    # The tile shows a quarter of the second, a fifth of the third, nothing of the fourth.
    assert found.tolist() == [[1, 10, 10, 50, 50]]
    assert detection.shown(boxes, -20, 0)[1].tolist() == [2, 0, 0, 30, 40]


def test_every_box_surrounds_one_nucleus():
    frame = np.zeros((40, 60), "uint16")
    frame[5:15, 20:32], frame[12:20, 32:40] = 7, 9
    assert detection.boxes_of(frame).tolist() == [[7, 20, 5, 32, 15], [9, 32, 12, 40, 20]]


def test_an_outline_surrounds_its_pixels():
    mask = pytest.importorskip("pycocotools.mask")
    inside = np.zeros((40, 60), bool)
    inside[0:15, 20:32], inside[4:9, 24:28] = True, False
    (polygon,) = detection.outlines(inside)
    assert (min(polygon[0::2]), max(polygon[0::2])) == (20, 32)
    assert (min(polygon[1::2]), max(polygon[1::2])) == (0, 15)
    # Holes are filled, corners cut.
    filled = mask.decode(mask.merge(mask.frPyObjects([polygon], *inside.shape)))
    assert filled[1:14, 21:31].all() and filled.sum() <= 15 * 12


def test_detection(tmp_path):
    detection.write(tmp_path)
    for split, least in (("train", 300), ("val", 100), ("test", 100)):
        content = json.loads((tmp_path / f"{split}.json").read_text())
        assert len(content["images"]) >= least
        brighter = []
        for image in content["images"][:20]:
            pixels = np.asarray(Image.open(tmp_path / "images" / image["file_name"]), float)
            for box in (a["bbox"] for a in content["annotations"] if a["image_id"] == image["id"]):
                left, top, across, down = box
                inside = pixels[top : top + down, left : left + across]
                brighter.append(inside.mean() > pixels.mean())
        assert np.mean(brighter) > 0.9


@needs("skimage")
def test_text_is_where_the_label_says(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "COUNTS", {"train": 6, "val": 3, "test": 3})
    text.write(tmp_path)
    problems = Problems()
    samples = read_labels(tmp_path / "train.txt", tmp_path, problems)
    check_samples(samples, problems)
    problems.raise_if_any()
    assert len(samples) == 6 and sum(len(sample.regions) for sample in samples) >= 6
    # Text is drawn there: letters differ from their background.
    spreads = []
    for sample in samples:
        pixels = np.asarray(Image.open(sample.image), float)
        for region in sample.regions:
            corners = np.array(region.points)
            (left, top), (right, bottom) = corners.min(0).astype(int), corners.max(0).astype(int)
            spreads.append(np.ptp(pixels[top:bottom, left:right].mean(2)))
    assert np.median(spreads) > text.LEAST_CONTRAST
