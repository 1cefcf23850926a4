"""A worker's context on the tiny task."""

import pytest

from tests.helpers.support import QUICK
from trainables.files.node import Node
from trainables.settings import TrialSettings


@pytest.fixture(scope="module")
def context(tiny_weights, tmp_path_factory):
    from tests.helpers.tiny.mine import Mine
    from trainables.baseline import measure_baseline
    from trainables.context import TrialContext
    from trainables.files.codec import decode, encode
    from trainables.results import Baseline

    folder = tmp_path_factory.mktemp("run")
    settings = TrialSettings(
        task="tests.helpers.tiny.mine:make_task",
        run_folder=str(folder),
        cache_folder=str(folder / "cache"),
        task_options={"weights": str(tiny_weights)},
        finetune_samples=QUICK["finetune_samples"],
        qat_samples=QUICK["qat_samples"],
        # One level: trials are trained in full.
        retrain_samples=1,
        latency_batch=32,
        # What is timed and kept is tested; a test of how exactly it is timed takes longer.
        latency_effort=0.1,
    )
    baseline = measure_baseline(Mine(tiny_weights), settings)
    assert decode(Baseline, encode(Baseline, baseline)) == baseline
    return TrialContext(settings, baseline, Node())
