"""Cells: a finished one is read, an interrupted one begins again."""

from dataclasses import replace

import pytest

from benchmarks.delivered import block
from benchmarks.delivered.cell import ROW, Row
from benchmarks.delivered.model import Candidate, DeliveredModel
from spaces.plan import Plan, QuantizationChoice
from trainables.files.codec import encode

PLAN = Plan.of({"a": 0.5}, QuantizationChoice.INT8_PTQ)
FOUND = Row(
    *("fashion_mnist", "int8_ptq", 3, 30.0, 0.1, "folder", "int8", PLAN, 25.0, 30.0, 0.01, 0.002),
    "2026-01-01",
)


def stored(work, row=FOUND):
    folder = block.cell_folder(work, row.seconds, row.problem, row.seed, row.method)
    folder.mkdir(parents=True)
    (folder / ROW).write_text(encode(Row, row))
    return folder


def test_a_finished_cell_is_read_with_its_plan(tmp_path):
    stored(tmp_path)
    rows = block.run_block("fashion_mnist", 3, 30.0, ["int8_ptq"], tmp_path)
    assert rows == [FOUND]


def test_rows_of_other_processor_times_and_problems_are_apart(tmp_path):
    stored(tmp_path)
    stored(tmp_path, replace(FOUND, seconds=600.0))
    stored(tmp_path, replace(FOUND, problem="digits"))
    assert block.read_rows(tmp_path, 30.0, "fashion_mnist") == [FOUND]
    assert len(block.read_rows(tmp_path, 30.0)) == 2


def test_a_cell_without_a_row_begins_again_and_a_failure_has_none(tmp_path, capsys):
    folder = block.cell_folder(tmp_path, 30.0, "fashion_mnist", 0, "no method")
    folder.mkdir(parents=True)
    (folder / "left").touch()
    assert block.run_block("fashion_mnist", 0, 30.0, ["no method"], tmp_path) == []
    assert not (folder / "left").exists()
    assert "KeyError: 'no method'" in capsys.readouterr().out


def test_a_candidate_keeps_the_budget_with_its_margin_only():
    candidate = Candidate("folder", "int8", 0.08, 0.01, PLAN)
    assert candidate.keeps(0.0965)
    assert not candidate.keeps(0.096)


def test_without_a_candidate_the_baseline_is_delivered():
    found = DeliveredModel.of(None, 12.0, tried=3)
    assert (found.folder, found.precision, found.notes) == (None, "float", {"tried": "3"})
    chosen = DeliveredModel.of(Candidate("folder", "int8", 0.08, 0.01, PLAN), 12.0)
    assert (chosen.folder, chosen.plan, chosen.metric_loss) == ("folder", PLAN, pytest.approx(0.08))
