import pytest

from spaces.errors import DataError
from trainables.data.classification import check_samples, class_names, read_folders, read_list


def test_a_list_gives_paths_and_labels(tmp_path, listed, problems):
    file = listed("train.txt", "a.jpg 0", "some folder/b.jpg 2")
    samples = read_list(file, tmp_path, 3, problems)
    assert [(s.image.relative_to(tmp_path).as_posix(), s.label) for s in samples] == [
        ("a.jpg", 0),
        ("some folder/b.jpg", 2),
    ]
    assert samples[1].where == f"{file}:2"
    assert problems.found == []


@pytest.mark.parametrize(
    ("line", "what"),
    [("a.jpg", "is not"), ("a.jpg cat", "is not"), ("a.jpg -1", "is not"), ("a.jpg 3", "0 to 2")],
)
def test_an_invalid_line_is_noted_with_its_number(tmp_path, listed, problems, line, what):
    file = listed("train.txt", "a.jpg 0", line)
    assert len(read_list(file, tmp_path, 3, problems)) == 1
    assert len(problems.found) == 1
    assert problems.found[0].startswith(f"{file}:2: ") and what in problems.found[0]


def test_folders_are_classes_by_name(tmp_path, picture, problems):
    for name in ("train/dog/1.png", "train/cat/2.png", "train/cat/3.png", "train/notes.txt"):
        picture(name) if name.endswith("png") else (tmp_path / name).write_text("")
    names = class_names(tmp_path / "train")
    assert names == ["cat", "dog"]
    samples = read_folders(tmp_path / "train", names, problems)
    assert [(s.image.name, s.label) for s in samples] == [("2.png", 0), ("3.png", 0), ("1.png", 1)]
    check_samples(samples, problems)
    assert problems.found == []


def test_a_class_unknown_in_training_and_an_empty_one_are_noted(tmp_path, picture, problems):
    picture("val/cow/1.png")
    (tmp_path / "val/dog").mkdir()
    assert read_folders(tmp_path / "val", ["cat", "dog"], problems) == []
    assert ["not in the training split" in one for one in problems.found] == [True, False]
    assert "has no images" in problems.found[1]


def test_a_split_without_a_class_is_an_error(tmp_path):
    with pytest.raises(DataError, match="is not a folder"):
        class_names(tmp_path / "none")
    with pytest.raises(DataError, match="has no folders"):
        class_names(tmp_path)


def test_a_missing_image_is_noted_with_its_line(tmp_path, listed, problems):
    file = listed("train.txt", "none.jpg 0")
    check_samples(read_list(file, tmp_path, 1, problems), problems)
    assert problems.found == [
        f"{file}:1: image {tmp_path / 'none.jpg'} is missing; restore it or remove the line"
    ]
