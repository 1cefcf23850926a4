"""Text that is drawn for PP-OCR's models. Fonts here are matplotlib's: no test needs Chinese."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.models.data import ocr
from benchmarks.models.data.text import LEAST_CONTRAST, folder_of
from spaces.errors import DataError

FONT = folder_of("matplotlib") / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
needs_photos = pytest.mark.skipif(find_spec("skimage") is None, reason="scikit-image's photos")


def written(kind, root, count, seed=0):
    """Return the images of a kind as arrays, and their labels."""
    ocr.write(kind, root, FONT, count, seed)
    separator = ocr.DRAWINGS[kind].separator
    lines = (root / ocr.LABELS).read_text(encoding="utf-8").splitlines()
    pairs = [line.split(separator, 1) for line in lines]
    return [np.asarray(Image.open(root / name)) for name, _ in pairs], [la for _, la in pairs]


def test_characters_are_those_of_the_first_level_that_the_dictionary_has():
    found = ocr.chinese_characters()
    assert len(found) == len(set(found)) == 3_755 - len(ocr.UNKNOWN)
    assert {"啊", "座", *ocr.TOLD_APART} <= set(found)


@needs_photos
@pytest.mark.parametrize(("kind", "size"), [("lines", ocr.LINE), ("turned", ocr.TURNED)])
def test_lines_have_one_size_with_grey_on_their_right(kind, size, tmp_path):
    images, labels = written(kind, tmp_path, 6)
    assert {image.shape for image in images} == {(*size, 3)}
    assert all(labels)
    assert any((np.abs(image[:, -8:].astype(int) - ocr.PADDING) < 4).all() for image in images)
    assert all(np.ptp(image[:, :16].astype(int)) > LEAST_CONTRAST for image in images)


@needs_photos
def test_some_lines_are_turned_and_images_are_the_same_for_the_same_seed(tmp_path):
    images, labels = written("turned", tmp_path / "one", 6)
    assert set(labels) == {"0", "1"}
    lines, _ = written("turned", tmp_path / "other", 6)
    for image, again in zip(images, lines, strict=True):
        np.testing.assert_array_equal(image, again)
    others, _ = written("turned", tmp_path / "seed", 6, seed=1)
    assert any((image != other).any() for image, other in zip(images, others, strict=True))


@needs_photos
def test_photos_have_a_label_that_paddleocr_reads(tmp_path):
    images, labels = written("photos", tmp_path, 2)
    assert {image.shape for image in images} == {(ocr.PHOTO, ocr.PHOTO, 3)}
    for regions in map(json.loads, labels):
        assert 1 <= len(regions) <= ocr.LINES
        corners = np.array([region["points"] for region in regions])
        assert corners.min() >= 0 and corners.max() <= ocr.PHOTO


def test_a_font_without_chinese_or_a_file_that_is_none_is_refused(tmp_path):
    for font in (FONT, tmp_path / "missing.ttf"):
        with pytest.raises(DataError, match="cannot draw 中国"):
            ocr.chinese_font(font)


def test_without_a_chinese_font_the_packages_are_named(monkeypatch):
    # A machine without fc-list.
    monkeypatch.setenv("PATH", str(Path(__file__).parent))
    with pytest.raises(DataError, match=r"fonts-wqy-microhei or fonts-noto-cjk, .* --font"):
        ocr.chinese_font(None)
