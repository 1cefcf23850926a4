"""Against pycocotools' own figures, on boxes drawn at random."""

import contextlib
import io

import numpy as np
import pytest

from trainables.average_precision import Detection, MeanAveragePrecision
from trainables.data.detection import Box

CLASSES = 3


def drawn(seed, images=12, hard=0.0):
    """Return the boxes of some images, and detections near to some of them."""
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


def theirs(boxes, found):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def size(b):
        return [b.left, b.top, b.right - b.left, b.bottom - b.top]

    with contextlib.redirect_stdout(io.StringIO()):
        truth, results = COCO(), []
        truth.dataset = {
            "images": [{"id": i} for i in range(len(boxes))],
            "categories": [{"id": c} for c in range(CLASSES)],
            "annotations": [
                {
                    "id": 1 + 100 * i + j,
                    "image_id": i,
                    "category_id": b.label,
                    "bbox": size(b),
                    "area": size(b)[2] * size(b)[3],
                    "iscrowd": int(b.hard),
                }
                for i, one in enumerate(boxes)
                for j, b in enumerate(one)
            ],
        }
        truth.createIndex()
        for i, one in enumerate(found):
            for d in one:
                results.append(
                    {"image_id": i, "category_id": d.label, "bbox": size(d), "score": d.score}
                )
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats[0]


def ours(boxes, found):
    metric = MeanAveragePrecision(CLASSES, lambda outputs: found)
    return metric.aggregate(np.stack(metric.sample_statistics([], boxes)))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("hard", [0.0, 0.3])
def test_the_same_as_pycocotools(seed, hard):
    boxes, found = drawn(seed, hard=hard)
    value = ours(boxes, found)
    assert 0.05 < value < 0.95
    assert value == pytest.approx(theirs(boxes, found), abs=1e-9)


def test_everything_found_is_1_and_nothing_found_is_0():
    boxes, _ = drawn(0)
    perfect = [
        [Detection(b.label, 1.0, b.left, b.top, b.right, b.bottom) for b in one] for one in boxes
    ]
    assert ours(boxes, perfect) == pytest.approx(1.0)
    assert ours(boxes, [[] for _ in boxes]) == 0.0


def test_statistics_of_some_images_give_their_own_value():
    """As a bootstrap needs it: what is drawn twice counts twice."""
    boxes, found = drawn(1)
    metric = MeanAveragePrecision(CLASSES, lambda outputs: found)
    statistics = np.stack(metric.sample_statistics([], boxes))
    chosen = [0, 3, 3, 7]
    expected = ours([boxes[i] for i in chosen], [found[i] for i in chosen])
    assert metric.aggregate(statistics[chosen]) == pytest.approx(expected)
