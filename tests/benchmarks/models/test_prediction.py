import numpy as np
import pytest

from benchmarks.models.prediction import Row, errors, table


def test_errors_are_shares_of_the_measured_latency():
    middle, high = errors(np.array([1.1, 0.9, 2.4, 4.0]), np.array([1.0, 1.0, 2.0, 4.0]))
    assert middle == pytest.approx(0.1)
    assert high == pytest.approx(np.quantile([0.0, 0.1, 0.1, 0.2], 0.9))


def test_the_table_has_a_line_for_a_model_and_choice():
    row = Row("one", "float", 9, 6, 12, 30, 15, 0.02, 0.07, 0.03, 0.09, (0.1, 0.9))
    lines = table([row]).splitlines()
    assert lines[2].startswith("| one | float | 9, 6 | 12 | 30 (15) | 2.0% | 7.0% | 3.0%, 9.0% |")
    assert lines[2].count("|") == lines[0].count("|")
