import cv2
import numpy as np
import pytest

from trainables.data.text import TextRegion
from trainables.tasks.paddleocr.db_targets import (
    MAX_THRESHOLD,
    MIN_THRESHOLD,
    SHRINK_RATIO,
    make_targets,
)


def region(left, top, right, bottom, text="word"):
    return TextRegion(((left, top), (right, top), (right, bottom), (left, bottom)), text)


def test_the_core_is_the_region_shrunk_by_the_papers_distance():
    maps = make_targets([region(20, 20, 80, 40)], 64, 100)
    reach = 60 * 20 * (1 - SHRINK_RATIO**2) / (2 * (60 + 20))
    rows, columns = np.nonzero(maps.cores)
    assert columns.min() == pytest.approx(20 + reach, abs=1.5)
    assert columns.max() == pytest.approx(80 - reach, abs=1.5)
    assert rows.min() == pytest.approx(20 + reach, abs=1.5)
    assert rows.max() == pytest.approx(40 - reach, abs=1.5)
    assert (maps.cores_counted == 1).all()


def test_thresholds_are_highest_on_the_border_and_count_around_it_only():
    maps = make_targets([region(20, 20, 80, 40)], 64, 100)
    assert maps.thresholds[20, 50] > MAX_THRESHOLD - 0.1
    assert maps.thresholds[0, 0] == pytest.approx(MIN_THRESHOLD)
    assert maps.thresholds_counted[20, 50] == 1 and maps.thresholds_counted[30, 50] == 0
    assert maps.thresholds_counted[0, 50] == 0
    assert (
        maps.thresholds.min() >= MIN_THRESHOLD - 1e-6
        and maps.thresholds.max() <= MAX_THRESHOLD + 1e-6
    )


@pytest.mark.parametrize("text, height", [("###", 20), ("word", 3)])
def test_unreadable_and_tiny_lines_are_not_asked_for(text, height):
    maps = make_targets([region(20, 20, 80, 20 + height, text)], 64, 100)
    assert maps.cores.sum() == 0
    assert maps.cores_counted[21, 50] == 0 and maps.cores_counted[60, 50] == 1
    assert maps.thresholds_counted.sum() == 0


def test_a_region_beyond_the_image_is_cut_off():
    whole = make_targets([region(20, 20, 80, 40)], 64, 100)
    moved = make_targets([region(-40, 20, 20, 40), region(500, 500, 560, 520)], 64, 100)
    # What is still inside is as it was.
    np.testing.assert_allclose(moved.cores[:, :20], whole.cores[:, 60:80])
    np.testing.assert_allclose(moved.thresholds[:, :25], whole.thresholds[:, 60:85])


def test_a_turned_region_has_a_core_of_its_direction():
    corners = cv2.boxPoints(((50, 50), (60, 20), 30))
    maps = make_targets([TextRegion(tuple(map(tuple, corners.tolist())), "word")], 100, 100)
    points = np.argwhere(maps.cores > 0)[:, ::-1].astype(np.float32)
    (x, y), (width, height), angle = cv2.minAreaRect(points)
    assert (x, y) == (pytest.approx(50, abs=1.5), pytest.approx(50, abs=1.5))
    assert max(width, height) > 2 * min(width, height)
    assert min(abs(angle - 30), abs(angle - 30 + 90), abs(angle - 30 - 90)) < 5
