import pytest

from spaces.errors import TaskError
from trainables.tasks.exported.dictionary import read_dictionary


def write(folder, characters):
    (folder / "inference.yml").write_text(f"PostProcess: {{character_dict: {characters}}}")


def test_a_named_file_goes_before_what_is_written_beside_the_model(tmp_path):
    write(tmp_path, '["x", " ", "0"]')
    assert read_dictionary(tmp_path).characters.known == ("x", " ", "0")
    (tmp_path / "keys.txt").write_text("a\nb")
    assert read_dictionary(tmp_path, str(tmp_path / "keys.txt")).characters.known == ("a", "b")


def test_the_number_of_classes_says_whether_there_is_a_space(tmp_path):
    (tmp_path / "keys.txt").write_text("a\nb")
    named = str(tmp_path / "keys.txt")
    assert read_dictionary(tmp_path, named).fitted(3, "x:").known == ("a", "b")
    assert read_dictionary(tmp_path, named).fitted(4, "x:").known == ("a", "b", " ")
    for use_space, classes in ((True, 4), (False, 3)):
        found = read_dictionary(tmp_path, named, use_space)
        assert found.fitted(classes, "x:").count == classes
        with pytest.raises(
            TaskError, match=f"x: the model has 9 classes, .* {classes} with .*out use"
        ):
            found.fitted(9, "x:")
    with pytest.raises(TaskError, match=r"keys\.txt has 3 or 4 with the blank"):
        read_dictionary(tmp_path, named).fitted(6625, "x:")


def test_without_a_dictionary_there_are_digits_and_letters(tmp_path):
    for use_space in (None, True, False):
        assert read_dictionary(tmp_path, None, use_space).fitted(37, "x:").count == 37
    with pytest.raises(TaskError, match="PaddleOCR's default dictionary has 37 with the blank"):
        read_dictionary(tmp_path).fitted(38, "x:")


@pytest.mark.parametrize("characters", ["keys.txt", "[]", "[a, 1]", "{a: b}"])
def test_what_is_written_and_is_no_list_of_characters(tmp_path, characters):
    write(tmp_path, characters)
    with pytest.raises(TaskError, match="character_dict is not a list of characters") as caught:
        read_dictionary(tmp_path)
    assert "\n" not in str(caught.value)
