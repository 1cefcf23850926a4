"""The files of the model that is delivered."""

import pytest

from search.stages.deliver import MODEL_FILES, copy_model
from spaces.errors import RunFolderError


def model(folder, content):
    folder.mkdir()
    for name in MODEL_FILES:
        (folder / name).write_text(content)
    return folder


def test_what_a_crash_left_whole_is_kept(tmp_path):
    winner = model(tmp_path / "winner", "the winner's")
    for _ in range(2):
        copy_model(winner, tmp_path / "model")
    assert {(tmp_path / "model" / name).read_text() for name in MODEL_FILES} == {"the winner's"}


@pytest.mark.parametrize("missing", [None, *MODEL_FILES])
def test_another_model_is_never_delivered_in_its_place(tmp_path, missing):
    winner = model(tmp_path / "winner", "the winner's")
    other = model(tmp_path / "model", "the winner's" if missing else "another's")
    if missing:
        (other / missing).unlink()
    with pytest.raises(RunFolderError, match="holds another model"):
        copy_model(winner, other)
