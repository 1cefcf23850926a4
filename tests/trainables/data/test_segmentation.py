import pytest

from tests.trainables.data.conftest import cut_short
from trainables.data.segmentation import MaskedImage, check_samples


@pytest.fixture
def sample(tmp_path):
    return MaskedImage(tmp_path / "a.jpg", tmp_path / "a.png", "train.txt:1")


def test_a_valid_image_and_mask(sample, picture, mask, problems):
    picture("a.jpg")
    mask("a.png", [0, 1, 255])
    check_samples([sample], 2, problems)
    assert problems.found == []


@pytest.mark.parametrize("broken", ["missing", "size", "class", "cut", "image"])
def test_a_fault_of_a_mask_is_noted_with_its_line(
    tmp_path, sample, picture, mask, problems, broken
):
    picture("a.jpg")
    mask("a.png", [0, 2] if broken == "class" else [0, 1], (12, 15 if broken == "size" else 16))
    if broken == "missing":
        (tmp_path / "a.png").unlink()
    if broken == "cut":
        cut_short(tmp_path / "a.png")
    if broken == "image":
        (tmp_path / "a.jpg").unlink()
    check_samples([sample], 2, problems)
    assert len(problems.found) == 1
    said = {
        "missing": "a.png is missing",
        "size": "is 12x15, its image 12x16",
        "class": "has class 2, out of range; 0 to 1",
        "cut": "a.png cannot be read",
        "image": "a.jpg is missing",
    }
    assert problems.found[0].startswith("train.txt:1: ") and said[broken] in problems.found[0]
