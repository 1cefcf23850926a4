import json
from dataclasses import replace

import numpy as np
import pytest

from search.records.ledger import is_feasible
from search.records.trial_record import STAGES, continued
from spaces.pareto import hypervolume
from spaces.plan import Plan, QuantizationChoice
from trainables.results import LatencyReading, Probe, TrialResult

BUDGET = 0.1


@pytest.fixture
def full_result(result, measurement):
    """A complete trial in which no field is left at its default."""
    reading = LatencyReading(
        latency_ms=2.0,
        baseline_latency_ms=4.0,
        ratio=0.5,
        ratio_spread=0.01,
        run_ms=2.1,
        rounds=20,
        batch_size=64,
        threads=1,
    )
    return result(
        "COMPLETE",
        loss=0.05,
        ratio=0.5,
        measurements=[measurement(0.2), measurement(0.05, "quantize", 1, 1.0)],
        reason="none",
        standard_error=0.01,
        latency_ms=2.0,
        baseline_latency_ms=4.0,
        size_bytes=12_345,
        export_difference=1e-6,
        readings=[Probe(stage, True, reading) for stage in ("shape", "export")],
        seconds={stage: float(i) for i, stage in enumerate(STAGES)},
    )


def test_what_was_recorded_is_loaded(open_ledger, record, full_result):
    plan = Plan.of({"a": 0.5, "b": 0.25}, QuantizationChoice.INT8_PTQ)
    recorded = record(7, full_result, plan, origin="warm_start")
    open_ledger().record(recorded)
    (loaded,) = open_ledger().records.values()
    # Readings are for the tables alone.
    full_result.readings = []
    assert loaded == recorded


@pytest.mark.parametrize("state", ["STOPPED", "FAILED"])
def test_a_trial_that_got_nowhere_is_loaded(open_ledger, record, result, state):
    recorded = record(0, result(state, reason="out of memory"))
    open_ledger().record(recorded)
    assert open_ledger().records == {0: recorded}


def test_measurements_go_to_the_trial_they_are_of(open_ledger, record, result, measurement):
    ledger = open_ledger()
    for number in range(3):
        measurements = [measurement(0.1 * number + 0.01 * rung) for rung in range(number)]
        ledger.record(record(number, result("STOPPED", measurements=measurements)))
    loaded = open_ledger().records
    assert loaded == ledger.records
    assert [len(loaded[number].result.measurements) for number in range(3)] == [0, 1, 2]


def test_a_level_that_fails_leaves_the_readings_of_those_before(open_ledger, record, full_result):
    ledger = open_ledger()
    ledger.record(record(7, replace(full_result, state="PAUSED", fidelity=0.25)))
    before = ledger.store.read("latency")
    assert len(before) == 2
    last = record(7, TrialResult("FAILED", reason="the disk is full"))
    ledger.record(continued(ledger.records[7], last))
    assert ledger.store.read("latency") == before
    assert open_ledger().records[7].result.state == "FAILED"


def test_every_table_has_the_trial(open_ledger, record, full_result):
    ledger = open_ledger()
    plan = Plan.of({"a": 0.5}, QuantizationChoice.INT8_PTQ)
    ledger.record(record(7, full_result, plan))
    store = ledger.store

    (trial,) = store.read("trials")
    assert (trial["number"], trial["plan_key"], trial["quantization"]) == (7, plan.key, "int8_ptq")
    assert Plan.from_json(json.loads(trial["plan"])) == plan
    assert trial["feasible"] is True
    assert [trial[f"{stage}_s"] for stage in STAGES] == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert [row["stage"] for row in store.read("measurements")] == ["quantize", "quantize"]
    latencies = [(row["number"], row["stage"], row["reused"]) for row in store.read("latency")]
    assert latencies == [(7, "shape", True), (7, "export", True)]
    ratios = [(row["group"], row["channels"], row["kept"]) for row in store.read("ratios")]
    assert ratios == [("a", 64, 32), ("b", 32, 32)]


def test_the_row_in_trials_is_written_last(open_ledger, record, full_result, monkeypatch):
    """So a trial that has one has all its other rows, whenever the driver is killed."""
    ledger = open_ledger()
    write, written = ledger.store.write, []

    def watched(table, name, rows):
        written.append(table)
        write(table, name, rows)

    monkeypatch.setattr(ledger.store, "write", watched)
    ledger.record(record(0, full_result))
    assert written[-1] == "trials"
    assert sorted(written) == ["latency", "measurements", "ratios", "trials"]


def test_nobody_is_told_of_a_trial_before_it_is_on_disk(open_ledger, record, full_result):
    ledger = open_ledger()
    told = []
    ledger.listeners.append(lambda record: told.append((record.number, open_ledger().records)))
    recorded = record(0, full_result)
    ledger.record(recorded)
    ((number, on_disk),) = told
    assert number == 0
    assert list(on_disk) == [0]


def test_rows_of_a_trial_that_was_never_finished_make_no_record(open_ledger, record, full_result):
    """A driver that was killed half way through `record` leaves such rows behind."""
    ledger = open_ledger()
    ledger.record(record(0, full_result))
    (ledger.store.folder / "trials" / "000000.parquet").unlink()
    assert open_ledger().records == {}


@pytest.mark.parametrize(
    ("state", "loss", "feasible"),
    [
        ("COMPLETE", 0.05, True),
        ("COMPLETE", 0.1, True),
        ("COMPLETE", -0.3, True),
        ("COMPLETE", 0.1001, False),
        ("COMPLETE", float("nan"), False),
        # A rung is not the whole training, and its loss no proof.
        ("STOPPED", 0.05, False),
        ("RUNNING", 0.05, False),
        ("FAILED", None, False),
    ],
)
def test_feasible_is_full_fidelity_within_the_budget(result, state, loss, feasible):
    assert is_feasible(result(state, loss, 0.5), BUDGET) is feasible


@pytest.fixture
def mixed(open_ledger, record, result):
    ledger = open_ledger(BUDGET)
    outcomes = [
        result("COMPLETE", 0.00, 1.0),
        result("COMPLETE", 0.09, 0.3),
        result("COMPLETE", 0.02, 0.6),
        result("COMPLETE", 0.05, 0.7),  # dominated by the one before
        result("COMPLETE", 0.30, 0.1),  # beyond the budget
        result("STOPPED", 0.01, 0.2),
        result("FAILED"),
    ]
    # Ray hands trials in as they end, not by number.
    for number in (3, 0, 1, 2, 6, 5, 4):
        ledger.record(record(number, outcomes[number]))
    return ledger


def numbers(records):
    return [record.number for record in records]


def test_trials_by_state(mixed):
    assert numbers(mixed.complete()) == [0, 1, 2, 3, 4]
    assert numbers(mixed.failed()) == [6]
    assert numbers(mixed.feasible()) == [0, 1, 2, 3]


def test_the_rows_say_which_trials_are_feasible(mixed):
    found = {row["number"] for row in mixed.store.read("trials") if row["feasible"]}
    assert found == {0, 1, 2, 3}


def test_the_front_is_of_feasible_trials_the_fastest_first(mixed):
    assert numbers(mixed.front()) == [1, 2, 0]


def test_the_hypervolume_is_below_the_budget_and_the_baselines_latency(mixed):
    feasible = np.array([[0.0, 1.0], [0.09, 0.3], [0.02, 0.6]])
    assert mixed.hypervolume() == pytest.approx(hypervolume(feasible, (BUDGET, 1.0)))
    assert mixed.hypervolume() == pytest.approx(0.08 * 0.4 + 0.01 * 0.3)


def test_an_empty_ledger_has_no_front(open_ledger):
    ledger = open_ledger()
    assert ledger.front() == []
    assert ledger.hypervolume() == 0.0


def test_another_budget_makes_other_trials_feasible(mixed, open_ledger):
    assert numbers(open_ledger(budget=0.5).feasible()) == [0, 1, 2, 3, 4]
    assert numbers(open_ledger(budget=0.5).front()) == [4, 1, 2, 0]


def test_a_level_whose_trial_has_no_row_of_it_is_measured_again(
    open_ledger, record, result, measurement, monkeypatch
):
    """The driver dies between the measurements of a promotion and its row in the trials."""
    levels = {"fidelities": (0.25, 1.0)}
    ledger = open_ledger(**levels)
    first = measurement(0.2, fidelity=0.25)
    ledger.record(record(3, result("PAUSED", 0.2, 0.5, [first], fidelity=0.25)))
    write = ledger.store.write

    def dies(table, name, rows):
        if table == "trials":
            raise KeyboardInterrupt
        write(table, name, rows)

    monkeypatch.setattr(ledger.store, "write", dies)
    both = [first, measurement(0.1, rung=1, fidelity=1.0)]
    with pytest.raises(KeyboardInterrupt):
        ledger.record(record(3, result("COMPLETE", 0.1, 0.5, both, level=1)))
    again = open_ledger(**levels).records[3].result
    assert (again.state, again.measurements) == ("PAUSED", [first])
