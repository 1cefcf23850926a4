"""What others are told of a search, each trial once."""

import pytest

from search.tune.trackers import tensorboard
from search.tune.watching import listening, progress_figures


@pytest.fixture
def ledger(open_ledger, record, result, measurement):
    opened = open_ledger()
    rungs = [measurement(0.05), measurement(0.02, "quantize", 1, 1.0)]
    opened.record(record(0, result("COMPLETE", 0.02, 0.5, rungs)))
    opened.record(record(1, result("COMPLETE", 0.2, 0.25, rungs)))
    return opened


def test_each_trial_is_told_once_while_someone_listens(ledger, record, result):
    told = []
    with listening(ledger, told.append):
        ledger.record(record(4, result("FAILED")))
        ledger.record(record(3, result("COMPLETE", 0.01, 0.4)))
    ledger.record(record(5, result("FAILED")))
    assert [one.number for one in told] == [4, 3]


def test_figures_of_a_search(ledger, record, result):
    figures = progress_figures(ledger)
    assert figures["best_latency_ratio"] == 0.5
    assert figures["feasible_share"] == 0.5
    assert figures["hypervolume"] == pytest.approx(0.08 * 0.5)


def test_figures_that_nobody_knows_yet_are_left_out(open_ledger):
    assert "best_latency_ratio" not in progress_figures(open_ledger())


def test_tensorboard_reads_what_is_written(ledger, record, result, measurement, tmp_path):
    from tensorboardX.proto.event_pb2 import Event

    with tensorboard([], ledger, tmp_path):
        ledger.record(record(6, result("FAILED")))
    assert not list(tmp_path.rglob("events*"))
    rungs = [measurement(0.05, fidelity=0.5), measurement(0.02, "quantize", 1, 1.0)]
    with tensorboard(["tensorboard"], ledger, tmp_path):
        ledger.record(record(7, result("COMPLETE", 0.02, 0.125, rungs)))
    found = {}
    for path in (tmp_path / "tensorboard").rglob("events*"):
        for event in events_of(path, Event):
            for value in event.summary.value:
                found.setdefault((path.parent.name, value.tag), []).append(
                    (event.step, round(value.simple_value, 6))
                )
    assert found["trial-000007", "metric_loss"] == [(50, 0.05), (100, 0.02)]
    assert found["trial-000007", "latency_ratio"] == [(100, 0.125)]
    assert found["search", "best_latency_ratio"] == [(4, 0.125)]


def events_of(path, kind):
    """Yield the records of an event file: length, its checksum, content, its checksum."""
    data = path.read_bytes()
    while data:
        size = int.from_bytes(data[:8], "little")
        event = kind()
        event.ParseFromString(data[12 : 12 + size])
        yield event
        data = data[12 + size + 4 :]
