"""A baseline's fingerprint."""

import pytest

from tests.helpers.tiny.mine import Mine
from trainables.baseline import measure_baseline


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
