import pytest

from tests.trainables.data.conftest import cut_short
from trainables.data.segmentation import check_samples, read_list


def test_images_and_masks_that_are_right(tmp_path, listed, picture, mask, problems):
    file = listed("train.txt", f"{picture('a.jpg')} {mask('a.png', [0, 1, 255])}")
    samples = read_list(file, tmp_path, problems)
    check_samples(samples, 2, problems)
    assert [(s.image.name, s.mask.name) for s in samples] == [("a.jpg", "a.png")]
    assert problems.found == []


def test_a_line_of_one_path_is_noted(tmp_path, listed, problems):
    file = listed("train.txt", "a.jpg")
    assert read_list(file, tmp_path, problems) == []
    assert problems.found[0].startswith(f"{file}:1: ")


@pytest.mark.parametrize("broken", ["missing", "size", "class", "cut", "image"])
def test_what_is_wrong_with_a_mask_is_noted_with_its_line(
    tmp_path, listed, picture, mask, problems, broken
):
    picture("a.jpg")
    mask("a.png", [0, 2] if broken == "class" else [0, 1], (12, 15 if broken == "size" else 16))
    if broken == "missing":
        (tmp_path / "a.png").unlink()
    if broken == "cut":
        cut_short(tmp_path / "a.png")
    if broken == "image":
        (tmp_path / "a.jpg").unlink()
    file = listed("train.txt", "a.jpg a.png")
    check_samples(read_list(file, tmp_path, problems), 2, problems)
    assert len(problems.found) == 1
    said = {
        "missing": "a.png is missing",
        "size": "is 12x15, its image 12x16",
        "class": "has class 2, out of range; 0 to 1",
        "cut": "a.png cannot be read",
        "image": "a.jpg is missing",
    }
    assert problems.found[0].startswith(f"{file}:1: ") and said[broken] in problems.found[0]
