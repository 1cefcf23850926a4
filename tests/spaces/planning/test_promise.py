"""What plans promise."""

import numpy as np
import pytest

from spaces.planning.promise import chances_within, promises


def test_a_promise_is_a_gain_times_the_chance_to_keep_the_budget():
    latencies, chances = np.array([0.3, 0.1, 0.6]), np.array([0.5, 1.0, 1.0])
    assert promises(latencies, chances, 0.5) == pytest.approx([0.1, 0.4, 0.0])


def test_chances_are_those_of_a_normal_distribution():
    found = chances_within(np.array([0.1, 0.08, 0.12]), np.full(3, 0.02), 0.1)
    assert found == pytest.approx([0.5, 0.8413, 0.1587], abs=1e-4)


def test_an_exact_loss_is_within_or_not():
    losses, limits = np.array([0.1, 0.1, 0.1]), np.array([0.1, 0.11, 0.09])
    assert list(chances_within(losses, np.zeros(3), limits)) == [1.0, 1.0, 0.0]
