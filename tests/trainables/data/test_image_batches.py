import numpy as np
import pytest

from trainables.data.image_batches import Preprocessing
from trainables.data.image_input import CenterCrop, Normalize, Preparation, Resize
from trainables.task import ModelInput


def shown(size, *steps, **more):
    """Preprocessing whose tensors are the pixels, 0 to 1."""
    image = Preparation((*steps, Normalize()))
    return Preprocessing(ModelInput("image", (3, *size), scale=1 / 255, image=image), **more)


@pytest.mark.parametrize("areas", (None, (0.08, 1.0)))
@pytest.mark.parametrize("library", ("opencv", "pillow"))
def test_augmented_images_have_the_inputs_size_for_every_image_size(areas, library):
    rng = np.random.default_rng(0)
    way = shown(
        (24, 20), Resize("shorter_side", 30), CenterCrop(24, 20), areas=areas, library=library
    )
    for size in ((1, 1), (7, 300), (300, 7), (64, 64)):
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        assert way.augmented(pixels, rng).shape == (3, 24, 20)


def test_crops_have_the_given_area_and_are_mirrored_if_asked():
    rng = np.random.default_rng(0)
    stripes = np.repeat(np.arange(100, dtype=np.uint8), 2)[None, :, None]
    pixels = np.broadcast_to(stripes, (200, 200, 3)).copy()
    whole = Resize(height=32, width=32)
    small = shown((32, 32), whole, areas=(0.08, 0.1), aspects=(1.0, 1.0), mirrors=False)
    spans = [np.ptp(255 * small.augmented(pixels, rng)) for _ in range(20)]
    # A square of nine hundredths of the area has 0.3 of the side.
    assert all(24 <= span <= 34 for span in spans)
    assert np.diff(small.augmented(pixels, rng)[0, 0, [0, -1]])[0] > 0
    mirroring = shown((32, 32), whole, areas=None)
    ways = {bool(mirroring.augmented(pixels, rng)[0, 0, 0] > 50 / 255) for _ in range(20)}
    assert ways == {True, False}
