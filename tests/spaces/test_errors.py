import pytest

from spaces.errors import (
    LINE,
    VALUE,
    SearchError,
    UserError,
    did_you_mean,
    one_line,
    printable,
    short,
    shown,
)


def test_the_nearest_known_name_is_suggested():
    assert did_you_mean("trails", ["trials", "seed"]) == "; did you mean trials?"
    assert did_you_mean("zzz", ["trials", "seed"]) == ""
    assert did_you_mean("trials", []) == ""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain, größer\n\tnext", "plain, größer\n\tnext"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("right\u202eleft", "right\\u202eleft"),
        ("half \ud800", "half \\ud800"),
    ],
)
def test_only_characters_that_print_are_left(text, expected):
    assert printable(text) == expected


def test_a_long_text_keeps_its_start_and_its_end():
    text = short("what is wrong " + "x" * 1000 + " what to do")
    assert len(text) == LINE
    assert text.startswith("what is wrong x") and text.endswith("x what to do")
    assert "..." in text
    assert short("two\nlines\tin  one") == "two lines in one"


def test_a_shown_value_is_short():
    for value in ("x" * 10_000, list(range(10_000)), {"a": "y" * 500}, 10**5000):
        assert len(shown(value)) <= VALUE


def test_a_shown_value_is_written_as_python_writes_it():
    assert shown("a'b") == '"a\'b"'
    assert shown([1, None]) == "[1, None]"


def test_one_line_of_an_error_is_the_one_that_names_an_error():
    error = RuntimeError("Traceback of paddle\n  at a place\nInvalidArgumentError: bad shape\nhint")
    assert one_line(error) == "RuntimeError: InvalidArgumentError: bad shape"
    assert one_line(ValueError("first\nsecond")) == "ValueError: first"
    assert one_line(KeyError()) == "KeyError: no message"
    assert len(one_line(ValueError("x" * 1000))) == LINE


def test_user_errors_are_search_errors():
    kinds = {kind.__name__ for kind in UserError.__subclasses__()}
    expected = {"ConfigError", "TaskError", "DataError", "WeightsError", "RunFolderError"}
    assert kinds >= {*expected, "StorageError"}
    assert {kind.__name__ for kind in SearchError.__subclasses__()} >= {
        *("UserError", "TrialError", "ExportError", "StudyError"),
    }
