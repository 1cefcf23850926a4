from dataclasses import replace

import numpy as np
import pytest

from search.records.trial_record import TrialRecord
from search.reporting.findings import read_findings
from spaces.errors import RunFolderError
from spaces.plan import Plan, PruningGroup, QuantizationChoice
from tests.search.made_run import BEGAN, GROUPS, make_run, result_of


@pytest.fixture
def found(tmp_path):
    return read_findings(str(make_run(tmp_path / "run", 24)))


def test_a_run_that_has_only_begun(tmp_path):
    found = read_findings(str(make_run(tmp_path, stages=False)))
    assert found.baseline is None
    assert found.points() == []
    assert found.progress() == []
    assert found.pruned().empty
    assert not found.thresholds
    assert set(found.counts().values()) == {0}


def test_every_trial_has_a_verdict_and_every_measured_one_a_point(found):
    records, points = found.ledger.records, {point.number: point for point in found.points()}
    assert found.verdict(records[7]) == "failed" and 7 not in points
    assert found.verdict(records[13]) == "stopped"
    assert all(
        points[number].metric_loss == records[number].result.metric_loss for number in points
    )
    feasible = [point for point in points.values() if point.verdict == "feasible"]
    assert all(point.metric_loss <= 0.1 for point in feasible)
    assert found.counts()["feasible"] == len(feasible) == len(found.ledger.feasible())


def test_the_front_is_the_ledgers(found):
    front = {record.number for record in found.ledger.front()}
    assert {point.number for point in found.points() if point.on_front} == front
    assert 1 < len(front) < 24


def test_progress_ends_at_the_ledgers_hypervolume_and_never_falls(found):
    points = found.progress()
    volumes = [point.hypervolume for point in points]
    assert volumes == sorted(volumes)
    assert volumes[-1] == pytest.approx(found.ledger.hypervolume())
    best = found.ledger.front()[0].result.latency_ratio
    assert points[-1].best_ratio == pytest.approx(best)
    assert points[0].minutes == pytest.approx(15 / 60)
    assert points[-1].minutes == pytest.approx((23 * 10 + 15) / 60)


def test_what_was_pruned_is_by_group_in_the_models_order(found):
    pruned = found.pruned()
    assert list(pruned.index) == list(GROUPS)
    numbers = [record.number for record in found.ledger.front()]
    assert list(pruned.columns) == [str(number) for number in numbers]
    record = found.ledger.records[numbers[0]]
    assert pruned[str(numbers[0])]["head.weight"] == record.plan.ratio("head.weight")


def test_sensitivity_is_interpolated_and_ends_where_it_was_measured(found):
    row = found.sensitivity().loc["head.weight"]
    assert row[0.1] == pytest.approx(0.008)
    assert row[0.5] == pytest.approx(0.06)
    assert row[0.7] == pytest.approx(0.06 + 0.14 * 0.8)
    assert np.isnan(row[0.8])


def test_a_plan_in_words_names_what_it_keeps_the_most_pruned_first(found):
    record = found.ledger.records[1]
    words = found.in_words(record.plan)
    ratios = [record.plan.ratio(name) for name in GROUPS]
    most = max(ratios)
    name = list(GROUPS)[ratios.index(most)]
    kept = round((1 - most) * GROUPS[name])
    assert words.startswith(f"{kept} of {GROUPS[name]} {name}\n")
    assert found.in_words(found.ledger.records[0].plan) == "nothing pruned"


def test_thresholds_are_predicted_until_they_are_tried(found):
    assert len(found.thresholds) == 4
    assert not any(plan.measured for plan in found.thresholds)
    losses = [plan.metric_loss for plan in found.thresholds]
    assert losses == sorted(losses)
    plan = found.thresholds[1].plan
    result = result_of(1, plan)
    found.ledger.record(TrialRecord(99, plan, "sampled", result, BEGAN, 15.0))
    again = read_findings(str(found.path)).thresholds[1]
    assert again.measured
    assert (again.metric_loss, again.cost) == (result.metric_loss, result.latency_ratio)


def test_multiply_adds_are_those_of_the_pruned_layers(found):
    rows = {row["number"]: row["multiply_adds"] for row in found.ledger.store.read("trials")}
    assert rows[0] == 6_000_000
    stem, depthwise, head = (1 - found.ledger.records[1].plan.ratio(name) for name in GROUPS)
    wanted = 1e6 * stem + 2e6 * stem * depthwise + 3e6 * depthwise * head
    assert rows[1] == pytest.approx(wanted, abs=2)


def test_a_run_on_storage(tmp_path, s3, monkeypatch):
    from clusters.storage import Storage

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run = make_run(tmp_path / "run", 5)
    uri = s3.uri("looked-at")
    storage = Storage(uri)
    storage.create()
    for file in (path for path in run.rglob("*") if path.is_file()):
        storage.write(str(file.relative_to(run)), file.read_bytes())
    found = read_findings(uri)
    assert len(found.ledger.records) == 5
    assert found.name == uri.rpartition("/")[2]


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(RunFolderError, match="holds no run"):
        read_findings(str(tmp_path))


def test_a_plan_in_words_names_the_branches_that_are_out(found):
    groups = (*found.groups, PruningGroup("block.1", 1, is_branch=True))
    plan = Plan.of({found.groups[0].name: 0.5, "block.1": 1.0}, QuantizationChoice.FLOAT)
    first, second = replace(found, groups=groups).in_words(plan).splitlines()
    assert first == "without block.1"
    assert second.endswith(f" of {found.groups[0].channels} {found.groups[0].name}")
