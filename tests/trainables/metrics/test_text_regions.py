import cv2
import numpy as np
import pytest

from trainables.data.text import TextRegion
from trainables.metrics.text_regions import HarmonicMean, RegionFinder


def drawn(*corners, value=0.9, size=(64, 96)):
    """Return a map with polygons of text."""
    page = np.zeros(size, np.float32)
    for points in corners:
        cv2.fillPoly(page, [np.array(points, np.int32)], value)
    return page


def square(left, top, width, height):
    return ((left, top), (left + width, top), (left + width, top + height), (left, top + height))


def overlap(one, other):
    shared = cv2.intersectConvexConvex(np.array(one, np.float32), np.array(other, np.float32))[0]
    both = cv2.contourArea(np.array(one, np.float32)) + cv2.contourArea(np.array(other, np.float32))
    return shared / (both - shared)


def test_a_core_is_expanded_to_its_line():
    """A line of 40 x 12, shrunk by DB's rule with a ratio of 0.4, comes back about whole."""
    line = square(20, 20, 40, 12)
    inset = 40 * 12 * (1 - 0.4**2) / (2 * (40 + 12))
    core = square(20 + inset, 20 + inset, 40 - 2 * inset, 12 - 2 * inset)
    (found,) = RegionFinder(unclip_ratio=1.5, min_side=1.0).find(drawn(core))
    assert overlap(found, line) > 0.6


def test_a_slanted_line_keeps_its_slant():
    (found,) = RegionFinder(unclip_ratio=0.0).find(drawn([(20, 30), (60, 10), (64, 18), (24, 38)]))
    assert overlap(found, [(20, 30), (60, 10), (64, 18), (24, 38)]) > 0.8


def test_faint_or_small_regions_are_not_text():
    finder = RegionFinder()
    assert finder.find(drawn(square(10, 10, 20, 8), value=0.5)) == []
    assert finder.find(drawn(square(10, 10, 20, 1))) == []
    assert finder.find(np.zeros((64, 96), np.float32)) == []


def hmean(page, *regions):
    metric = HarmonicMean(RegionFinder(unclip_ratio=0.0))
    targets = [[TextRegion(points, text) for points, text in regions]]
    return metric.aggregate(metric.sample_statistics([page[None, None]], targets))


ONE, OTHER = square(10, 10, 20, 8), square(50, 40, 24, 10)


@pytest.mark.parametrize(
    ("drawn_regions", "labels", "value"),
    [
        ((ONE, OTHER), ((ONE, "a"), (OTHER, "b")), 1.0),
        ((ONE,), ((ONE, "a"), (OTHER, "b")), 2 / 3),
        ((ONE, OTHER), ((ONE, "a"),), 2 / 3),
        ((ONE,), ((OTHER, "b"),), 0.0),
        ((), ((ONE, "a"),), 0.0),
        ((), (), 1.0),
        # What nobody can read counts neither as found nor as missed.
        ((ONE, OTHER), ((ONE, "a"), (OTHER, "###")), 1.0),
        ((ONE,), ((ONE, "a"), (OTHER, "###")), 1.0),
    ],
)
def test_hmean(drawn_regions, labels, value):
    assert hmean(drawn(*drawn_regions), *labels) == pytest.approx(value)


def test_a_region_is_matched_once():
    """Two halves of a line are not two finds of it."""
    left, right = square(10, 10, 38, 12), square(50, 10, 38, 12)
    whole = square(10, 10, 78, 12)
    assert hmean(drawn(left, right), (whole, "a")) == 0.0
    assert hmean(drawn(whole), (whole, "a"), (whole, "a")) == pytest.approx(2 / 3)


def test_images_are_weighted_by_their_regions():
    metric = HarmonicMean()
    assert metric.aggregate(np.array([[1, 1, 1], [0, 3, 3]])) == pytest.approx(0.25)
