"""A baseline's fingerprint, and the pace of training."""

import pytest

import trainables.baseline
from tests.helpers.tiny.mine import Mine
from trainables.baseline import PACE_STEPS, measure_baseline, training_pace
from trainables.models import new_model


@pytest.mark.parametrize("halved", [False, True])
def test_a_baseline_with_another_metric_has_another_fingerprint(
    halved, context, tiny_weights, tmp_path, monkeypatch
):
    task = Mine(tiny_weights)
    aggregate = type(task.metric).aggregate
    if halved:
        monkeypatch.setattr(
            type(task.metric), "aggregate", lambda self, rows: aggregate(self, rows) / 2
        )
    again = measure_baseline(task, context.settings.having(run_folder=str(tmp_path)))
    assert (again.fingerprint == context.baseline.fingerprint) is not halved


@pytest.mark.parametrize(("slow_s", "steps"), [(0.0, 1), (1e9, 1 + PACE_STEPS)])
def test_one_slow_step_tells_the_pace(slow_s, steps, context, tiny_weights, monkeypatch):
    task, taken = Mine(tiny_weights), []
    batches = task.train_batches

    def counted(batch_size, seed):
        for batch in batches(batch_size, seed):
            taken.append(batch)
            yield batch

    monkeypatch.setattr(task, "train_batches", counted)
    monkeypatch.setattr(trainables.baseline, "SLOW_STEP_S", slow_s)
    assert training_pace(new_model(task), task, context.settings) > 0
    assert len(taken) == steps
