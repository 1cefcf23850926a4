import pytest

from search.records.trial_record import STAGES, continued, read_trial, trial_row


@pytest.fixture
def row(record, result):
    spent = {stage: 1.0 + index for index, stage in enumerate(STAGES)}
    return trial_row(record(7, result("COMPLETE", loss=0.05, ratio=0.5, seconds=spent)))


def test_a_record_is_read_from_its_row(record, result):
    recorded = record(7, result("COMPLETE", loss=0.05, ratio=0.5, seconds={"prune": 2.0}))
    assert read_trial(trial_row(recorded)) == recorded


@pytest.mark.parametrize("state", ["STOPPED", "FAILED"])
def test_a_trial_that_was_never_measured_has_no_level(record, result, state):
    found = trial_row(record(7, result(state, ratio=0.5)))
    assert (found["level"], found["fidelity"]) == (None, None)
    # Tables of older versions have numbers there.
    older = read_trial({**found, "level": 0, "fidelity": 1.0}).result
    assert (older.level, older.fidelity) == (None, None)


def test_a_trial_of_a_table_without_levels_was_trained_in_full(row):
    found = read_trial({**row, "level": None, "fidelity": None})
    assert (found.level, found.fidelity) == (0, 1.0)


def test_a_level_that_failed_leaves_the_one_before(record, result):
    paused = record(7, result("PAUSED", loss=0.2, ratio=0.5, level=1, fidelity=0.25))
    failed = continued(paused, record(7, result("FAILED", reason="the disk is full")))
    assert (failed.result.state, failed.level, failed.fidelity) == ("FAILED", 1, 0.25)
    assert read_trial(trial_row(failed)) == failed


def test_a_row_of_before_was_never_begun_anew(row):
    found = read_trial({**row, "retries": None, "lost_s": None, "closing_fidelity": None})
    assert (found.retries, found.lost_s, found.closing_fidelity) == (0, 0.0, 0.0)


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "RUNNING"},
        {"state": "half"},
        {"metric": None},
        {"latency_ratio": None},
        {"started_at": "yesterday or so"},
        {"plan": "{}"},
        {"plan": "no JSON"},
        {"wall_s": "long"},
    ],
)
def test_a_row_that_no_trial_leaves_is_refused(row, changes):
    with pytest.raises((ValueError, TypeError, LookupError)):
        read_trial({**row, **changes})
