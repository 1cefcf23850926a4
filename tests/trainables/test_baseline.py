"""What makes two baselines the same."""

import pytest

from tests.tiny.mine import Mine
from trainables.baseline import measure_baseline


@pytest.mark.parametrize("halved", [False, True])
def test_a_baseline_that_is_judged_in_another_way_is_another(
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
