import pytest

from spaces.errors import DataError
from trainables.data.lines import numbered_lines


def test_lines_have_their_numbers_and_empty_ones_count(listed):
    file = listed("list.txt", "one", "", "  two ")
    assert list(numbered_lines(file)) == [(f"{file}:1", "one"), (f"{file}:3", "two")]


@pytest.mark.parametrize(
    ("content", "what"),
    [(None, "cannot be read"), (b"\n \n", "lists no sample"), (b"\xff\xfe\xfa", "not UTF-8")],
)
def test_a_list_that_cannot_be_used(tmp_path, content, what):
    file = tmp_path / "list.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DataError, match=what):
        list(numbered_lines(file))
