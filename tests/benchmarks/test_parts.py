"""The arithmetic of the parts of `make bench` and `benchmarks.scaling`, without their hours."""

import numpy as np
import pandas as pd
import pytest

from benchmarks import growth, overhead, probe, scaling
from search.records.tables import STAGES


def test_a_probe_without_noise_is_always_right():
    found = probe.summarise(np.tile([1.0, 1.2, 1.25, 2.0], (3, 1)))
    assert (found["probe_cv"], found["probe_order"]) == (0.0, 1.0)
    # Five of the six pairs differ by 10 % or more; each has 3 times 3 comparisons.
    assert found["probe_pairs"] == 5 * 9


def test_readings_in_the_wrong_order_count():
    found = probe.summarise(np.array([[1.0, 2.0], [1.0, 2.0], [3.0, 2.0]]))
    assert found["probe_order"] == pytest.approx(6 / 9)
    assert found["probe_cv_worst"] > found["probe_cv"] > 0


def test_overhead_is_the_wall_time_outside_the_stages():
    rows = pd.DataFrame([dict.fromkeys([f"{stage}_s" for stage in STAGES], 1.0)] * 2)
    rows["wall_s"] = len(STAGES) / 0.8
    assert overhead.overhead_share(rows) == pytest.approx(0.2)


def test_workers_are_busy_if_the_driver_takes_no_time():
    assert scaling.simulate(8, 0.0, [10.0], 200) == pytest.approx(1.0, abs=0.05)


def test_a_driver_can_keep_only_so_many_workers_busy():
    """Trials of 10 s, 1 s of the driver each: ten of a hundred workers."""
    assert scaling.simulate(100, 1.0, [10.0], 2000) == pytest.approx(0.1, abs=0.02)


def test_a_small_study_grows():
    found = growth.measure(finished=20, workers=3, measured=6)
    assert 0 < found["suggest_median_ms"] <= found["suggest_p95_ms"]
    # Of 20 trials one of three has been promoted, so the next promotions are soon due.
    assert 0 < found["promote_p95_ms"] < 10_000
    assert 0 < found["simulated_busy"] <= 1
