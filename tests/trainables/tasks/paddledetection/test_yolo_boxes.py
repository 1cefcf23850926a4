import numpy as np
import pytest

from trainables.tasks.paddledetection.yolo_boxes import YoloDecoder

ANCHORS = [[(32, 32), (64, 32)], [(8, 8), (16, 8)]]
SURE, NEVER = 20.0, -20.0


def decoder(**options):
    return YoloDecoder(ANCHORS, (16, 8), classes=2, **options)


def empty():
    """Maps of one image of 64 x 64 in which nothing is found."""
    maps = [np.zeros((1, 2 * 7, 64 // stride, 64 // stride), "f4") for stride in (16, 8)]
    for one in maps:
        one.reshape(1, 2, 7, *one.shape[2:])[:, :, 4] = NEVER
    return maps


def place(maps, level, anchor, row, column, label, wide=0.0, score=SURE):
    cell = maps[level].reshape(1, 2, 7, *maps[level].shape[2:])[0, anchor, :, row, column]
    cell[:] = [0, 0, wide, 0, score, NEVER, NEVER]
    cell[5 + label] = SURE


def corners(found):
    return [(d.left, d.top, d.right, d.bottom) for d in found]


def test_nothing_is_found_in_empty_maps():
    assert decoder().detections(empty()) == [[]]


def test_a_box_is_centred_in_its_cell_and_sized_by_its_anchor():
    maps = empty()
    place(maps, 1, 1, row=3, column=2, label=1, wide=np.log(2))
    ((found,),) = decoder().detections(maps)
    assert found.label == 1 and found.score == pytest.approx(1.0, abs=1e-6)
    # The middle of place (3, 2) at stride 8 is (20, 28); twice 16 wide, 8 high.
    assert corners([found])[0] == pytest.approx((4, 24, 36, 32))


def test_boxes_are_clipped_to_the_image():
    maps = empty()
    place(maps, 0, 1, row=0, column=0, label=0)
    ((found,),) = decoder().detections(maps)
    assert corners([found])[0] == pytest.approx((0, 0, 40, 24))


def test_of_overlapping_boxes_the_best_of_each_class_remains():
    maps = empty()
    place(maps, 0, 0, row=1, column=1, label=0)
    place(maps, 1, 1, row=7, column=7, label=0)
    # Nearly the same as the first, once of its class and once of the other.
    maps[0].reshape(1, 2, 7, 4, 4)[0, 0, :, 1, 2] = [-20, 0, 0, 0, 1.0, SURE, NEVER]
    place(maps, 0, 1, row=1, column=1, label=1, wide=-np.log(2))
    (found,) = decoder().detections(maps)
    assert [d.label for d in found].count(0) == 2 and [d.label for d in found].count(1) == 1
    assert len(decoder(nms_threshold=0.99).detections(maps)[0]) == 4


def test_boxes_are_ordered_by_score_and_low_scores_removed():
    maps = empty()
    for column, score in enumerate((0.0, 2.0, -1.0, -6.0)):
        place(maps, 1, 0, row=column, column=2 * column, label=0, score=score)
    scores = [d.score for d in decoder().detections(maps)[0]]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True)
