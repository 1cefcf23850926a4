import numpy as np
import pytest
from PIL import Image

from tests.trainables.data.conftest import cut_short
from trainables.data.images import check_images, image_size, read_image, read_mask

ORIENTATION = 0x0112


def test_every_file_is_read_as_three_channels(tmp_path):
    for mode in ("RGB", "L", "RGBA", "P"):
        Image.new(mode, (5, 3)).save(tmp_path / "image.png")
        assert read_image(tmp_path / "image.png").shape == (3, 5, 3)


def test_exif_orientation_is_applied(tmp_path):
    image = Image.new("RGB", (5, 3))
    exif = image.getexif()
    exif[ORIENTATION] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert read_image(tmp_path / "turned.jpg").shape == (5, 3, 3)
    assert image_size(tmp_path / "turned.jpg") == (5, 3)


def test_a_masks_palette_indices_are_its_classes(tmp_path):
    image = Image.fromarray(np.array([[0, 1], [2, 255]], np.uint8))
    image.save(tmp_path / "grey.png")
    assert read_mask(tmp_path / "grey.png").tolist() == [[0, 1], [2, 255]]
    indexed = image.convert("P")
    indexed.putpalette([7, 7, 7] * 256)
    indexed.save(tmp_path / "indexed.png")
    assert read_mask(tmp_path / "indexed.png").tolist() == [[0, 1], [2, 255]]


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_truncated_file_is_noted_with_its_line(tmp_path, picture, problems, suffix):
    whole, cut = picture(f"whole.{suffix}"), picture(f"cut.{suffix}")
    cut_short(tmp_path / cut)
    check_images([(tmp_path / whole, "a:1"), (tmp_path / cut, "a:2")], problems)
    assert len(problems.found) == 1
    assert problems.found[0].startswith("a:2: image") and "cannot be read" in problems.found[0]


def test_a_missing_file_and_a_text_are_noted_wherever_they_are_listed(tmp_path, problems):
    (tmp_path / "text.jpg").write_text("no image")
    check_images(
        [
            (tmp_path / "none.jpg", "a:1"),
            (tmp_path / "text.jpg", "a:2"),
            (tmp_path / "none.jpg", "b:1"),
        ],
        problems,
    )
    assert ["is missing" in one for one in problems.found] == [True, False, True]


def test_a_truncated_file_is_refused_whatever_pillow_was_set_to(tmp_path, monkeypatch):
    monkeypatch.setattr("PIL.ImageFile.LOAD_TRUNCATED_IMAGES", True)
    path = tmp_path / "image.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(OSError):
        read_image(path)
