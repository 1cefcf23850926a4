"""Whole runs that are killed, and whole runs whose trials fail, on the tiny task."""

import signal

import pandas as pd
import pytest

from search.records.manifest import Manifest
from tests.helpers.gate import (
    ALL,
    LATER_LEVELS,
    LEVELS,
    NOTHING,
    RETRAIN,
    UNFINISHED,
    Gate,
    first_plans,
)
from tests.helpers.support import QUICK, killed_when, read_all, rows_of, said_by, wait_until

pytestmark = pytest.mark.slow


def test_killed_at_any_moment_it_carries_on(local_workplace, workplace, tmp_path):
    run, gate = workplace.folder / "killed", Gate(tmp_path / "gate")

    start = (
        *(*workplace.task("make_gated"), "--trials", "6", "--out", str(run)),
        # Few choices: every time it starts again, it exports models to time others beside.
        *("-o", "choices=[float, int8_ptq]"),
    )
    settings = {**UNFINISHED, **gate.options(workplace.weights)}
    resume = ("--resume", str(run))
    gate.let(first_plans(3))
    # While it searches, with a local Ray, which ends too.
    status = killed_when(
        *(local_workplace, start, run, lambda: rows_of(run, "trials") >= 3),
        by=signal.SIGINT,
        **settings,
    )
    assert status == 130, said_by(run).read_text()
    assert not (run / "retrained").exists(), "a Ctrl-C ends the study, not its search alone"
    moments = [
        # While a plan is trained on, then while retraining, on a cluster, which lives on (a local
        # Ray that is killed with its driver: test_shared_storage.py). No new plan is trained beside
        # the one that is trained on: after the last plan none is, for there are no finalists.
        (NOTHING, lambda: gate.held(LATER_LEVELS)),
        (LEVELS, lambda: gate.held(RETRAIN)),
    ]
    kept = pd.read_parquet(run / "trials")
    for names, condition in moments:
        gate.let(names)
        killed_when(workplace, resume, run, condition)
        wait_until(lambda: not gate.held(ALL), "end of the workers")
        now = read_all(run)["trials"]
        assert set(kept["number"]) <= set(now["number"]), "a finished trial was lost"
        kept = now
    gate.let(ALL)
    ended = workplace.run(*resume)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    trials = pd.read_parquet(run / "trials")
    assert len(trials) == 6
    assert trials["number"].is_unique
    assert trials["plan_key"].is_unique, "a plan was tried twice"
    measured = pd.read_parquet(run / "measurements")
    assert not measured.duplicated(["number", "fidelity"]).any(), "a level was measured twice"
    levels = trials.query("state in ('PAUSED', 'COMPLETE')").set_index("number").level
    assert (measured.groupby("number").size() == levels + 1).all()
    assert levels.max() >= 1
    merged = trials.merge(kept, on="number", suffixes=("", "_kept"))
    assert len(merged) == len(kept)
    assert (merged["plan"] == merged["plan_kept"]).all()
    assert Manifest.model_validate_json((run / "manifest.json").read_text()).trials.finished == 6
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(run / "optuna.journal")))
    study = optuna.load_study(study_name="search", storage=storage)
    assert not [t for t in study.trials if t.state.name == "RUNNING"]


def test_trials_that_fail_are_rows_with_reasons_and_the_search_goes_on(workplace):
    run, ends = workplace.folder / "deadly", workplace.folder / "ends"
    ends.mkdir(exist_ok=True)
    ended = workplace.run(
        *("--budget", "0.1", *workplace.task("make_deadly"), "--trials", "7"),
        *("--out", str(run)),
        choices="[float, int8_ptq]",
        # Plans are trained in full by their trials.
        retrain_samples=QUICK["finetune_samples"],
        # A worker that dies would be given another chance.
        retries=0,
        task_options=f"{{ended: {ends}, weights: {workplace.weights}}}",
    )
    trials = pd.read_parquet(run / "trials")
    assert len(trials) == 7, ended.stdout + ended.stderr
    failed = trials[trials["state"] == "FAILED"]
    reasons = " | ".join(failed["reason"])
    assert len(failed) == 4
    assert "the training data is gone" in reasons
    assert "loss became nan" in reasons
    assert "MemoryError" in reasons
    assert "died" in reasons
    assert (trials["state"] == "COMPLETE").any()
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert Manifest.model_validate_json((run / "manifest.json").read_text()).trials.failed == len(
        failed
    )
