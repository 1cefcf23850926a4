"""Which trials can be exported, and where to; test_afterwards.py exports a real one."""

import contextlib

import pytest

from search import reexport
from tests.search.made_run import make_run
from trainables.results import Measurement


@pytest.fixture
def exported(monkeypatch):
    """What the job was asked for."""
    calls = []

    def call_worker(display, what, job, settings, baseline, node, plan, number, out):
        calls.append((plan, number, out))
        return Measurement("finetune", 0, 1.0, 0.81, 0.1, 0.004, 1.0)

    monkeypatch.setattr(reexport, "cluster_of", lambda *given: contextlib.nullcontext())
    monkeypatch.setattr(reexport, "call_worker", call_worker)
    return calls


@pytest.mark.parametrize("out", [None, "elsewhere"])
def test_a_complete_trial_is_exported_into_the_runs_folder_or_where_it_is_told(
    out, exported, tmp_path, capsys
):
    run = make_run(tmp_path / "run", 12)
    flags = [] if out is None else ["--out", str(tmp_path / out)]
    assert reexport.main([str(run), "4", *flags]) == 0
    ((_, (number, level), target),) = exported
    assert (number, level, target) == (
        4,
        0,
        str(run / "trial-4" if out is None else tmp_path / out),
    )
    said = capsys.readouterr().out
    assert "trial 4: top1_accuracy 0.9000 to 0.8100 on val (+10.0 % loss)" in said
    assert said.endswith(f"model: {target}\n")


@pytest.mark.parametrize(
    "number, said",
    [
        ("7", "trial 7 has no model; those that have one are 0, 1, 2, 4"),
        ("99", "trial 99 has no model"),
        ("4", "already exists"),
    ],
)
def test_others_are_refused_before_anything_starts(number, said, exported, tmp_path, capsys):
    run = make_run(tmp_path / "run", 12)
    (run / "trial-4").mkdir()
    assert reexport.main([str(run), number]) == 2
    assert said in capsys.readouterr().err and exported == []
