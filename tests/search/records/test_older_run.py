"""A run that an older version of the program left: it is reported, selected from and carried on.

The files are of a real search of tests/helpers/tiny's network, made on 2026-11-25 by commit b0a3dbd
(stages of format 3, tables of version 4), without its models.
"""

import shutil
import tarfile
from pathlib import Path

import pytest

from search import report, run, select
from search.records.ledger import Ledger
from search.records.opening import resume_run
from search.records.run_folder import JOURNAL, STAGES_FORMAT
from search.records.search_space import build_space
from search.records.tables import Store
from search.reporting.findings import read_findings
from search.tune.plan_source import Sources
from search.tune.searcher import Limits, PlanSearcher
from spaces.planning.planner import Planner
from tests.search.commands import RayStartsError, ray_starts

ARCHIVE = Path(__file__).parent / "data" / "run_format_3.tar.xz"


@pytest.fixture
def older(tmp_path, monkeypatch):
    monkeypatch.setattr("ray.init", ray_starts)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with tarfile.open(ARCHIVE) as archive:
        # Python before 3.11.4 has no filters.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(tmp_path)
    return tmp_path / "run"


@pytest.fixture
def unfinished(older):
    """The same before its retrain."""
    for path in (older / "manifest.json", older / "plan.json"):
        path.unlink()
    for path in (older / "stages").glob("*.json"):
        if path.name.startswith(("retrain", "final")):
            path.unlink()
    return older


def refused(path, capsys):
    """Return whether a run is of a format that is not carried on, which is said in one line."""
    if int((path / "stages" / "format.json").read_text()) == STAGES_FORMAT:
        return False
    assert run.main(["--resume", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "started by another version" in line
    return True


def test_it_is_reported(older, capsys):
    assert report.main([str(older)]) == 0
    said = capsys.readouterr().out
    assert "Finished: 6 of 6 trials, 6 feasible" in said
    assert "top1_accuracy" in said
    assert read_findings(str(older)).ledger.damage is None


def test_another_point_of_it_is_chosen(older, capsys):
    if int((older / "stages" / "format.json").read_text()) == STAGES_FORMAT:
        with pytest.raises(RayStartsError):
            select.main([str(older), "--budget", "0.08"])
    else:
        assert select.main([str(older), "--budget", "0.08"]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_it_is_carried_on_with_what_it_has(unfinished, capsys):
    if refused(unfinished, capsys):
        return
    with pytest.raises(RayStartsError):
        run.main(["--resume", str(unfinished)])
    found, config = resume_run(unfinished)
    baseline = found.stage("baseline")
    space, layers = build_space(config, baseline), baseline.layers
    curves, timings = found.stage("sensitivity"), found.stage("latency")
    planner = Planner(space, layers, curves, timings, config.budget)
    sources = Sources(space, planner)
    ledger = Ledger.load(Store(unfinished), config.budget, space.groups, layers)
    assert len(ledger.complete()) == 6 and ledger.damage is None
    searcher = PlanSearcher(
        sources, ledger, unfinished / JOURNAL, config.seed, limits=Limits(trials=7)
    )
    found.release()
    # Its journal has numbers that no plan has today; the tables are enough.
    assert searcher.rebuilt and len(searcher.optuna_trials) >= 6
    assert searcher.suggest("one more") is not None


def test_without_its_journal_it_is_carried_on_too(unfinished, capsys):
    (unfinished / JOURNAL).unlink()
    shutil.rmtree(unfinished / "measurements")
    if not refused(unfinished, capsys):
        with pytest.raises(RayStartsError):
            run.main(["--resume", str(unfinished)])
