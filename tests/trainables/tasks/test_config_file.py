import pytest

from spaces.errors import TaskError
from trainables.tasks.config_file import pixel_scale, read_config, section


@pytest.mark.parametrize(
    ("written", "expected"), [(None, 1 / 255), ("1.0/255.0", 1 / 255), ("1./255.", 1 / 255), (1, 1)]
)
def test_a_pixel_scale_may_be_a_quotient(written, expected):
    assert pixel_scale(written, "Eval") == pytest.approx(expected)


@pytest.mark.parametrize("written", ["one", "1/0", 0, -1, "nan", "1/2/3", "1e400"])
def test_any_other_pixel_scale_is_refused(written):
    with pytest.raises(TaskError, match=r"^Eval scale .* is not a number above 0"):
        pixel_scale(written, "Eval")


def test_a_missing_section_is_empty():
    config = {"Train": {"loader": {"batch": 3}, "dataset": None}}
    assert section(config, "Train", "loader") == {"batch": 3}
    assert section(config, "Train", "dataset") == section(config, "Eval", "loader") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [(None, "is missing"), ("Arch: [", "is not YAML"), ("- 1", "has no Arch"), ("a: 1", "no Arch")],
)
def test_a_file_that_is_not_the_toolkits_is_refused(tmp_path, text, message):
    file = tmp_path / "net.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(TaskError, match=message):
        read_config(file, "PaddleClas", "Arch")
