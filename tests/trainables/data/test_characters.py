from pathlib import Path

import pytest

from spaces.errors import TaskError
from trainables.data.characters import Characters, read_characters
from trainables.data.problems import Problems
from trainables.data.text import TextLine


def line(text):
    return TextLine(Path("a.png"), text, "train.txt:3")


def test_a_dictionary_has_a_character_per_line_and_may_get_a_space(tmp_path):
    file = tmp_path / "keys.txt"
    file.write_bytes("a\r\n文\n\u2028\nb".encode())
    assert read_characters(file, False, "x:").known == ("a", "文", "\u2028", "b")
    assert read_characters(str(file), True, "x:").known[-1] == " "
    assert read_characters(file, True, "x:").count == 6


def test_without_a_dictionary_digits_and_letters_are_read_in_lower_case():
    plain = read_characters(None, True, "x:")
    assert plain.count == 37
    assert plain.label(line("It's 5!"), Problems(), 25) == "its5"


def test_spaces_of_a_label_are_dropped_where_the_network_has_none():
    known = Characters(("a", "b"), Path("keys.txt"))
    assert known.label(line("a b"), Problems()) == "ab"
    assert known.with_space().label(line("a b"), Problems()) == "a b"


def test_repetitions_count_once_and_blanks_not_at_all():
    characters = Characters(("a", "b"))
    assert characters.text([0, 1, 1, 0, 1, 2, 2, 0]) == "aab"
    assert characters.text([0, 0]) == ""
    assert characters.classes("aab") == [1, 1, 2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("abc", "'abc' has 3 characters, max_text_length is 2"),
        ("ax", "'x' in 'ax' is not in the dictionary keys.txt"),
        (" ", "' ' has only spaces"),
    ],
)
def test_a_label_that_the_network_cannot_give_is_noted(text, said):
    problems = Problems()
    assert Characters(("a", "b"), Path("keys.txt")).label(line(text), problems, 2) is None
    assert problems.found[0].startswith(f"train.txt:3: {said}")


def test_a_label_without_digits_and_letters_is_noted():
    problems = Problems()
    assert Characters().label(line("..."), problems) is None
    assert "'...' has no digit or letter" in problems.found[0]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.txt", None, "cannot be read (No such file"),
        ("gbk.txt", "文".encode("gbk"), "cannot be read (it is not UTF-8"),
        ("empty.txt", b"\n\n", "lists no character"),
        ("arabic_dict.txt", b"a\n", "from right to left"),
    ],
)
def test_dictionaries_that_cannot_be_used(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TaskError) as caught:
        read_characters(str(tmp_path / name), False, "config_file x.yml:")
    assert said in str(caught.value) and str(caught.value).startswith("config_file x.yml:")
