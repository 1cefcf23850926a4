"""Which candidate wins, from what each one's retrain left in the run folder."""

import io

import pytest
from rich.console import Console

from search.config import RunConfig
from search.console import Display
from search.context import StudyContext
from search.records.clock import StageClock
from search.records.opening import create_run
from search.records.prospects import Prospects
from search.records.stage_files import FailedRetrain, Retrained
from search.stages.retrain import in_time, retrain_winner
from spaces.errors import StudyError
from tests.search.made_run import baseline


@pytest.fixture
def retrained(tmp_path, open_ledger, record, result):
    """Return a function: the winner, and what is printed, if retrains ended like this."""

    def run(*outcomes):
        config = RunConfig(budget=0.1, out=str(tmp_path / "run"), retrain_candidates=len(outcomes))
        folder = create_run(config)
        ledger = open_ledger(fidelities=(0.25, 1.0), confidence_z=1.64)
        for number in range(len(outcomes)):
            # The faster, the more it lost: all are on the predicted front.
            ratio = 0.1 + 0.1 * number
            found = result("PAUSED", loss=0.09 - 0.01 * number, ratio=ratio, fidelity=0.25)
            ledger.record(record(number, found))
        for trial, outcome in zip(Prospects(ledger).candidates(), outcomes, strict=True):
            folder.finish_stage(f"retrain-{trial.number:06d}", outcome(trial.number))
        printed = io.StringIO()
        display = Display(Console(file=printed))
        try:
            study = StudyContext(config, folder, None, None, None, None, display, StageClock())
            winner = retrain_winner(study, baseline(), ledger)
        finally:
            folder.release()
        assert folder.stage("retrain") == winner
        return winner, printed.getvalue()

    return run


def ended(loss, error=0.001):
    """Make the outcome of a trial's retrain."""
    figures = {"metric": 0.9 * (1 - loss), "metric_loss": loss, "standard_error": error}
    return lambda number: Retrained(trial=number, **figures)


def failed(reason):
    return lambda number: FailedRetrain(number, reason)


def test_the_fastest_that_keeps_the_budget_wins(retrained):
    winner, _ = retrained(ended(0.05), ended(0.01))
    assert winner.trial == 0
    assert [one.accepted for one in winner.tried] == [True]


def test_a_retrain_that_fails_is_said_and_the_next_one_tried(retrained):
    winner, printed = retrained(failed("the worker was killed"), ended(0.05))
    assert winner.trial == 1
    assert "trial 0: failed (the worker was killed)" in printed


def test_retrains_that_all_fail_are_tried_again_by_a_resumed_run(retrained, tmp_path):
    with pytest.raises(StudyError, match=r"all 2 retrains failed.* out of memory.* --resume"):
        retrained(failed("killed"), failed("out of memory"))
    assert not list((tmp_path / "run" / "stages").glob("retrain*"))


def test_the_margin_counts(retrained):
    winner, printed = retrained(ended(0.09, error=0.02), ended(0.05))
    assert winner.trial == 1
    assert [one.accepted for one in winner.tried] == [False, True]
    assert "missed, on to the next" in printed


def test_if_none_keeps_the_budget_what_to_change_is_said(retrained):
    with pytest.raises(StudyError, match=r"none of 1 candidates .* retrain_samples"):
        retrained(ended(0.2), failed("out of memory"))


@pytest.fixture
def late(open_ledger, record, result):
    """Return a study whose time is over, and a ledger with two paused trials."""

    class OneCore:
        cpus, gpus = 1, 0

        def now(self):
            return self

    ledger = open_ledger(fidelities=(0.25, 1.0))
    for number, (loss, ratio) in enumerate([(0.12, 0.19), (0.01, 0.2)]):
        ledger.record(record(number, result("PAUSED", loss, ratio, fidelity=0.25)))
    config = RunConfig(budget=0.1, within="1m", finetune_samples=3200)
    clock = StageClock({"search": 100.0})
    return StudyContext(config, None, None, None, OneCore(), None, Display(), clock), ledger


def test_after_the_deadline_what_keeps_the_budget_already_is_taken(late, record, result):
    study, ledger = late
    ledger.record(record(2, result("COMPLETE", 0.05, 0.5)))
    candidates = Prospects(ledger).candidates()
    assert [r.number for r in candidates] == [0, 1, 2]
    assert [r.number for r in in_time(study, baseline(), ledger, candidates)] == [2]


def test_after_the_deadline_the_most_promising_is_trained_if_nothing_keeps_the_budget(late):
    study, ledger = late
    candidates = Prospects(ledger).candidates()
    assert [r.number for r in in_time(study, baseline(), ledger, candidates)] == [1, 0]
    assert in_time(study, baseline(), ledger, []) == []
