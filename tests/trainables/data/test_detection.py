import json

import pytest

from spaces.errors import DataError
from trainables.data.detection import Box, check_samples, read_coco, read_voc_list

VOC_BOX = (
    "<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{0}</xmin>"
    "<ymin>{1}</ymin><xmax>{2}</xmax><ymax>{3}</ymax></bndbox></object>"
)


def coco(**changed):
    """One image of 16 x 12 with one box of the class of id 7."""
    return {
        "images": [{"id": 5, "file_name": "a.jpg", "width": 16, "height": 12}],
        "categories": [{"id": 7, "name": "tree"}, {"id": 3, "name": "car"}],
        "annotations": [{"image_id": 5, "category_id": 7, "bbox": [1, 2, 3, 4], **changed}],
    }


@pytest.fixture
def annotated(tmp_path, picture):
    def write(content):
        picture("a.jpg")
        file = tmp_path / "train.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return file

    return write


def test_coco_boxes_are_corners_and_labels_count_in_the_files_order(tmp_path, annotated, problems):
    samples, names = read_coco(annotated(coco(iscrowd=1)), tmp_path, problems)
    assert names == {0: "tree", 1: "car"}
    assert samples[0].boxes == (Box(0, 1, 2, 4, 6, hard=True),)
    check_samples(samples, problems)
    assert problems.found == []


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"category_id": 4}, "class 4 is out of range"),
        ({"image_id": 6}, "image 6 is not among"),
        ({"bbox": [1, 2, 3]}, "is not [left"),
        ({"bbox": [1, 2, 30, 4]}, "outside its image, 16 wide and 12 high"),
        ({"bbox": [-3, 2, 3, 4]}, "outside its image"),
    ],
)
def test_a_wrong_annotation_is_noted_with_its_place(tmp_path, annotated, problems, changed, what):
    file = annotated(coco(**changed))
    check_samples(read_coco(file, tmp_path, problems)[0], problems)
    assert len(problems.found) == 1
    assert problems.found[0].startswith(f"{file}: annotations[0]: ") and what in problems.found[0]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("{", "is not JSON"),
        ({"images": [], "annotations": []}, "has no 'categories'"),
        ({"images": [], "annotations": [], "categories": []}, "lists no image"),
    ],
)
def test_a_file_that_is_not_cocos(tmp_path, annotated, problems, content, what):
    with pytest.raises(DataError, match=what):
        read_coco(annotated(content), tmp_path, problems)


@pytest.mark.parametrize("changed", [{"bbox": [1, 2, 0, 4]}, {"area": 0}, {"ignore": 1}])
def test_annotations_that_paddledetection_skips_are_skipped(tmp_path, annotated, problems, changed):
    samples, _ = read_coco(annotated(coco(**changed)), tmp_path, problems)
    assert samples[0].boxes == () and problems.found == []


def test_a_missing_image_is_noted_with_its_place(tmp_path, annotated, problems):
    file = annotated(coco())
    (tmp_path / "a.jpg").unlink()
    check_samples(read_coco(file, tmp_path, problems)[0], problems)
    assert len(problems.found) == 1 and problems.found[0].startswith(f"{file}: images[0]: ")


@pytest.fixture
def voc(tmp_path, picture, listed):
    def write(*corners, name="tree", difficult=0, text=None):
        picture("a.jpg")
        boxes = "".join(VOC_BOX.format(*c, name=name, difficult=difficult) for c in corners)
        (tmp_path / "a.xml").write_text(text or f"<annotation>{boxes}</annotation>")
        return listed("train.txt", "a.jpg a.xml")

    return write


def test_voc_boxes(tmp_path, voc, problems):
    samples = read_voc_list(voc((1, 2, 4, 6), difficult=1), tmp_path, ["car", "tree"], problems)
    assert samples[0].boxes == (Box(1, 1, 2, 4, 6, hard=True),)
    check_samples(samples, problems)
    assert problems.found == []


@pytest.mark.parametrize(
    ("corners", "options", "what"),
    [
        ((1, 2, 4, 6), {"name": "cow"}, "class 'cow' is out of range"),
        ((1, 2, 40, 6), {}, "outside its image"),
        ((4, 2, 1, 6), {}, "is empty"),
        ((1, 2, "x", 6), {}, "lacks a number"),
    ],
)
def test_a_wrong_object_is_noted_with_its_place(tmp_path, voc, problems, corners, options, what):
    file = voc((1, 2, 3, 4), corners)
    if options:
        file = voc(corners, **options)
    check_samples(read_voc_list(file, tmp_path, ["tree"], problems), problems)
    number = 1 if options else 2
    assert len(problems.found) == 1
    assert problems.found[0].startswith(f"{tmp_path / 'a.xml'}: object {number}: ")
    assert what in problems.found[0]


def test_an_annotation_that_cannot_be_read_is_noted_with_its_line(tmp_path, voc, problems):
    file = voc(text="<annotation>")
    assert read_voc_list(file, tmp_path, ["tree"], problems) == []
    (tmp_path / "a.xml").unlink()
    assert read_voc_list(file, tmp_path, ["tree"], problems) == []
    assert [one.startswith(f"{file}:1: ") for one in problems.found] == [True, True]
    assert "is not XML" in problems.found[0] and "is missing" in problems.found[1]
