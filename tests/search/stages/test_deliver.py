"""The files of the model that is delivered."""

from dataclasses import replace

import pytest

from search.records.ledger import Ledger
from search.records.manifest import Manifest
from search.records.tables import Store
from search.stages.deliver import copy_model, float_layers, multiply_adds_figures
from spaces.errors import RunFolderError
from spaces.plan import Plan, QuantizationChoice
from tests.search.made_run import GROUPS, baseline, manifest
from trainables.deployment.exported import PADDLE_FILES
from trainables.results import FinalFigures, LatencyReading, Sizes


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


def test_the_manifest_names_the_layers_in_float_and_what_they_run_in():
    reading = LatencyReading(4.0, 20.0, 0.2, 0.01, 4.0, 40, 64, 1)
    older = FinalFigures(0.9, 0.8, 0.1, 0.01, reading, Sizes(9, 3), "engine", {})
    final = replace(older, float_precision="float")
    plan = Plan.of({}, QuantizationChoice.INT8_PTQ, ["stem", "head"])
    kept = float_layers(plan, final)
    assert (kept.names, kept.precision) == (("head", "stem"), "float")
    assert float_layers(Plan(), final) is None
    written = manifest(float_layers=kept).model_dump_json()
    assert Manifest.model_validate_json(written).float_layers == kept
    # A run that an older version timed last; a file of one.
    assert float_layers(plan, older).precision is None
    assert manifest().float_layers is None
