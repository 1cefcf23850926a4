import pytest

from search.records.trial_record import STAGES, read_trial, trial_row


@pytest.fixture
def row(record, result):
    spent = {stage: 1.0 + index for index, stage in enumerate(STAGES)}
    return trial_row(record(7, result("COMPLETE", loss=0.05, ratio=0.5, seconds=spent)))


def test_a_record_is_read_from_its_row(record, result):
    recorded = record(7, result("COMPLETE", loss=0.05, ratio=0.5, seconds={"prune": 2.0}))
    assert read_trial(trial_row(recorded)) == recorded


def test_a_row_of_before_was_never_begun_anew(row):
    found = read_trial({**row, "retries": None, "lost_s": None})
    assert (found.retries, found.lost_s) == (0, 0.0)


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
