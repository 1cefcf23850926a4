import numpy as np
import pytest

from trainables.data.image_batches import Preprocessing


def halves(height, width):
    """An image whose left half is dark and whose right half is bright."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, width // 2 :] = 255
    return pixels


@pytest.mark.parametrize("shorter_side", (None, 24, 30))
@pytest.mark.parametrize("shares", (None, (0.08, 1.0)))
def test_images_have_the_size_asked_for_whatever_comes(shorter_side, shares):
    rng = np.random.default_rng(0)
    shown = Preprocessing((24, 20), shorter_side=shorter_side, shares=shares)
    for size in ((1, 1), (7, 300), (300, 7), (64, 64)):
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        assert shown.middle(pixels).shape == (24, 20, 3)
        assert shown.part(pixels, rng).shape == (24, 20, 3)


def test_the_middle_is_cut_out_of_the_image_at_its_size():
    middle = Preprocessing((32, 32), shorter_side=40).middle(halves(40, 80))
    assert (middle[:, :15] == 0).all() and (middle[:, 17:] == 255).all()


def test_without_a_shorter_side_the_whole_image_is_shown():
    whole = Preprocessing((10, 20)).middle(halves(40, 40))
    assert (whole[:, :9] == 0).all() and (whole[:, 11:] == 255).all()


def test_parts_are_as_large_as_asked_and_mirrored_if_asked():
    rng = np.random.default_rng(0)
    stripes = np.repeat(np.arange(100, dtype=np.uint8), 2)[None, :, None]
    pixels = np.broadcast_to(stripes, (200, 200, 3)).copy()
    small = Preprocessing((32, 32), shares=(0.08, 0.1), aspects=(1.0, 1.0), mirrors=False)
    spans = [np.ptp(small.part(pixels, rng).astype(int)) for _ in range(20)]
    # A square of nine hundredths of the area has 0.3 of the side.
    assert all(24 <= span <= 34 for span in spans)
    rising = {bool(np.diff(small.part(pixels, rng)[0, [0, -1], 0].astype(int))[0] > 0)}
    assert rising == {True}
    mirroring = Preprocessing((32, 32), shares=None)
    ways = {bool(mirroring.part(pixels, rng)[0, 0, 0] > 50) for _ in range(20)}
    assert ways == {True, False}
