"""Compared with pycocotools, on random boxes."""

import contextlib
import io
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from trainables.data.detection import Box, Scene
from trainables.metrics.average_precision import Detection, MeanAveragePrecision, mask_overlap

CLASSES = 3
SIZE = (110, 100)


def drawn(seed, images=12, hard=0.0):
    """Return the boxes of some images, and detections near some of them."""
    rng = np.random.default_rng(seed)
    boxes, found = [], []
    for _ in range(images):
        corners = rng.uniform(0, 60, (rng.integers(0, 6), 2))
        sizes = rng.uniform(8, 30, corners.shape)
        labels = rng.integers(0, CLASSES, len(corners))
        boxes.append(
            tuple(
                Box(int(label), x, y, x + w, y + h, bool(rng.random() < hard))
                for label, (x, y), (w, h) in zip(labels, corners, sizes, strict=True)
            )
        )
        detections = []
        for box in boxes[-1]:
            for _ in range(rng.integers(0, 3)):
                left, top, right, bottom = np.array(
                    [box.left, box.top, box.right, box.bottom]
                ) + rng.normal(0, 2.5, 4)
                label = box.label if rng.random() < 0.8 else int(rng.integers(CLASSES))
                detections.append(Detection(label, rng.random(), left, top, right, bottom))
        found.append(detections)
    return boxes, found


def with_masks(boxes, found):
    """Return them with masks: boxes that are not hard lose a corner, detections are ellipses."""

    def outlined(box):
        x, y = (box.left + box.right) / 2, (box.top + box.bottom) / 2
        cut = (x, box.top, box.right, box.top, box.right, box.bottom, box.left, box.bottom)
        return box if box.hard else replace(box, polygons=((*cut, box.left, y),))

    from pycocotools.mask import encode

    down, across = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5

    def mask(d):
        x, y = (d.left + d.right) / 2, (d.top + d.bottom) / 2
        width, height = (d.right - d.left) / 2, (d.bottom - d.top) / 2
        inside = ((across - x) / width) ** 2 + ((down - y) / height) ** 2 < 1
        return encode(np.asfortranarray(inside, "uint8"))

    boxes = [tuple(outlined(box) for box in of) for of in boxes]
    return boxes, [[replace(d, mask=mask(d)) for d in of] for of in found]


def theirs(boxes, found, kind="bbox"):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def size(b):
        return [b.left, b.top, b.right - b.left, b.bottom - b.top]

    def outline(b):
        return [[b.left, b.top, b.right, b.top, b.right, b.bottom, b.left, b.bottom]]

    with contextlib.redirect_stdout(io.StringIO()):
        truth, results = COCO(), []
        truth.dataset = {
            "images": [{"id": i, "height": SIZE[0], "width": SIZE[1]} for i in range(len(boxes))],
            "categories": [{"id": c} for c in range(CLASSES)],
            "annotations": [
                {
                    "id": 1 + 100 * i + j,
                    "image_id": i,
                    "category_id": b.label,
                    "bbox": size(b),
                    "area": size(b)[2] * size(b)[3],
                    "iscrowd": int(b.hard),
                    "segmentation": [list(polygon) for polygon in b.polygons or outline(b)],
                }
                for i, one in enumerate(boxes)
                for j, b in enumerate(one)
            ],
        }
        truth.createIndex()
        for i, one in enumerate(found):
            for d in one:
                result = {"image_id": i, "category_id": d.label, "score": d.score}
                shape = {"bbox": size(d)} if kind == "bbox" else {"segmentation": d.mask}
                results.append({**result, **shape})
        evaluation = COCOeval(truth, truth.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[0]


def scenes(boxes):
    return [Scene(one, SIZE) for one in boxes]


def ours(boxes, found, **options):
    metric = MeanAveragePrecision(CLASSES, lambda outputs, sizes: found, **options)
    return metric.aggregate(np.stack(metric.sample_statistics([], scenes(boxes))))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("hard", [0.0, 0.3])
def test_the_same_as_pycocotools(seed, hard):
    boxes, found = drawn(seed, hard=hard)
    value = ours(boxes, found)
    assert 0.05 < value < 0.95
    assert value == pytest.approx(theirs(boxes, found), abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("hard", [0.0, 0.3])
def test_masks_the_same_as_pycocotools(seed, hard):
    boxes, found = with_masks(*drawn(seed, hard=hard))
    value = ours(boxes, found, overlap=partial(mask_overlap, size=SIZE))
    assert 0.01 < value < ours(boxes, found)
    assert value == pytest.approx(theirs(boxes, found, "segm"), abs=1e-9)


def test_everything_found_is_1_and_nothing_found_is_0():
    boxes, _ = drawn(0)
    perfect = [
        [Detection(b.label, 1.0, b.left, b.top, b.right, b.bottom) for b in one] for one in boxes
    ]
    assert ours(boxes, perfect) == pytest.approx(1.0)
    assert ours(boxes, [[] for _ in boxes]) == 0.0


def test_statistics_of_some_images_give_their_own_value():
    """As the bootstrap needs it: an image drawn twice counts twice."""
    boxes, found = drawn(1)
    metric = MeanAveragePrecision(CLASSES, lambda outputs, sizes: found)
    statistics = np.stack(metric.sample_statistics([], scenes(boxes)))
    chosen = [0, 3, 3, 7]
    expected = ours([boxes[i] for i in chosen], [found[i] for i in chosen])
    assert metric.aggregate(statistics[chosen]) == pytest.approx(expected)
