import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from trainables.data.text import check_samples, read_labels, read_lines

SQUARE = [[1, 2], [5, 2], [5, 6], [1, 6]]


def label(*regions):
    return json.dumps([{"transcription": text, "points": points} for text, points in regions])


def test_regions_and_which_are_ignored(tmp_path, listed, picture, problems):
    file = listed("Label.txt", f"{picture('a.jpg')}\t{label(('word', SQUARE), ('###', SQUARE))}")
    (sample,) = read_labels(file, tmp_path, problems)
    assert [region.is_ignored for region in sample.regions] == [False, True]
    assert sample.regions[0].points == ((1, 2), (5, 2), (5, 6), (1, 6))
    check_samples([sample], problems)
    assert problems.found == []


@pytest.mark.parametrize(
    "line", ["a.jpg", "a.jpg\t[", 'a.jpg\t[{"points": [[1, 2]]}]', "a.jpg\t[1]"]
)
def test_a_line_that_is_not_a_label_is_noted(tmp_path, listed, problems, line):
    file = listed("Label.txt", line)
    assert read_labels(file, tmp_path, problems) == []
    assert problems.found[0].startswith(f"{file}:1: not ")


def test_lines_may_have_tabs_in_their_text(tmp_path, listed, problems):
    file = listed("Label.txt", "a.jpg\tone line", "b.jpg\ttwo\twords", "c.jpg", "d.jpg\t")
    found = [(line.image, line.text) for line in read_lines(file, tmp_path, problems)]
    assert found == [(tmp_path / "a.jpg", "one line"), (tmp_path / "b.jpg", "two\twords")]
    assert [note.split(" is ")[0] for note in problems.found] == [
        f"{file}:3: 'c.jpg'",
        f"{file}:4: 'd.jpg'",
    ]


@pytest.mark.parametrize(
    ("points", "what"),
    [([[1, 2], [50, 2], [5, 6]], "outside its image"), ([[1, 2], [5, 2]], "fewer than three")],
)
def test_a_wrong_region_is_noted_with_its_line(tmp_path, listed, picture, problems, points, what):
    file = listed("Label.txt", f"{picture('a.jpg')}\t{label(('word', points))}")
    check_samples(read_labels(file, tmp_path, problems), problems)
    assert len(problems.found) == 1
    assert problems.found[0].startswith(f"{file}:1: region 1") and what in problems.found[0]


def test_a_missing_image_is_noted_once(tmp_path, listed, problems):
    file = listed("Label.txt", f"none.jpg\t{label(('word', SQUARE))}")
    check_samples(read_labels(file, tmp_path, problems), problems)
    assert len(problems.found) == 1 and "missing" in problems.found[0]


def test_the_six_real_photos_of_paddlelabel(tmp_path, problems):
    found = find_spec("paddlelabel")
    if found is None:
        pytest.skip("paddlelabel is not installed")
    folder = Path(found.submodule_search_locations[0]) / "sample" / "bear"
    label_file = folder / "opticalCharacterRecognition" / "txt" / "Label.txt"
    samples = read_labels(label_file, folder / "img", problems)
    check_samples(samples, problems)
    assert problems.found == []
    assert len(samples) == 6 and sum(len(sample.regions) for sample in samples) == 65
    assert samples[0].regions[0].text == "PHO CAPITAL"
