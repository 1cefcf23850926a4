"""The files of the model that is delivered."""

import pytest

from search.records.ledger import Ledger
from search.records.tables import Store
from search.stages.deliver import copy_model, multiply_adds_figures
from spaces.errors import RunFolderError
from spaces.plan import Plan, QuantizationChoice
from tests.search.made_run import GROUPS, baseline
from trainables.deployment.exported import PADDLE_FILES


def model(folder, content):
    folder.mkdir()
    for name in PADDLE_FILES:
        (folder / name).write_text(content)
    return folder


def test_what_a_crash_left_whole_is_kept(tmp_path):
    winner = model(tmp_path / "winner", "the winner's")
    for _ in range(2):
        copy_model(winner, tmp_path / "model")
    assert {(tmp_path / "model" / name).read_text() for name in PADDLE_FILES} == {"the winner's"}


@pytest.mark.parametrize("missing", [None, *PADDLE_FILES])
def test_another_model_is_never_delivered_in_its_place(tmp_path, missing):
    winner = model(tmp_path / "winner", "the winner's")
    other = model(tmp_path / "model", "the winner's" if missing else "another's")
    if missing:
        (other / missing).unlink()
    with pytest.raises(RunFolderError, match="holds another model"):
        copy_model(winner, other)


def test_the_manifest_has_the_multiply_adds_of_both_models(tmp_path):
    unpruned = baseline()
    ledger = Ledger(Store(tmp_path), 0.1, unpruned.groups, unpruned.layers)
    found = multiply_adds_figures(ledger, Plan.of({"head.weight": 0.5}, QuantizationChoice.FLOAT))
    # The head is the third of layers of 1, 2 and 3 million, and feeds none.
    assert len(GROUPS) == 3
    assert (found.baseline, found.winner) == (6_000_000, 4_500_000)
    assert multiply_adds_figures(Ledger(Store(tmp_path), 0.1, ()), Plan()) is None
