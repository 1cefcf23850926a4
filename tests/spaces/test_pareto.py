import numpy as np
import pytest

from spaces.pareto import front_indices, hypervolume

REFERENCE = (0.1, 1.0)


def points(*pairs):
    return np.array(pairs, dtype=float).reshape(-1, 2)


def random_points(seed, count=30):
    """Points inside, on and beyond the reference, many of them with equal coordinates."""
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.integers(-2, 13, count) / 100, rng.integers(1, 13, count) / 10])


def dominates(one, other):
    return bool(np.all(one <= other) and np.any(one < other))


def test_the_front_is_sorted_by_the_second_column():
    found = front_indices(points((0.01, 0.9), (0.05, 0.4), (0.06, 0.5), (0.09, 0.2)))
    assert found == [3, 1, 0]


def test_of_equal_points_the_first_is_on_the_front():
    assert front_indices(points((0.5, 0.5), (0.1, 0.1), (0.1, 0.1))) == [1]


def test_of_points_equal_in_one_column_the_better_is_on_the_front():
    assert front_indices(points((0.2, 0.1), (0.1, 0.1))) == [1]
    assert front_indices(points((0.1, 0.2), (0.1, 0.1))) == [1]


def test_the_front_of_nothing_is_empty():
    assert front_indices(points()) == []


@pytest.mark.parametrize("seed", range(10))
def test_the_front_is_what_comparing_all_pairs_finds(seed):
    given = random_points(seed)
    front = front_indices(given)
    best = {tuple(p) for p in given if not any(dominates(q, p) for q in given)}
    assert {tuple(given[i]) for i in front} == best
    assert len(front) == len(best)


def test_hypervolume_of_a_staircase():
    # Two boxes of 0.09 x 0.2 and 0.05 x 0.6 that share 0.05 x 0.2.
    found = hypervolume(points((0.01, 0.8), (0.05, 0.4)), REFERENCE)
    assert found == pytest.approx(0.09 * 0.2 + 0.05 * 0.6 - 0.05 * 0.2)


def test_a_gain_of_the_metric_counts():
    assert hypervolume(points((-0.05, 0.5)), REFERENCE) == pytest.approx(0.15 * 0.5)


@pytest.mark.parametrize("point", [(0.1, 0.5), (0.2, 0.5), (0.05, 1.0), (0.05, 1.2), (0.2, 2.0)])
def test_a_point_on_or_beyond_the_reference_adds_nothing(point):
    assert hypervolume(points(point), REFERENCE) == 0.0
    inside = (0.06, 0.7)
    alone = hypervolume(points(inside), REFERENCE)
    assert hypervolume(points(point, inside), REFERENCE) == pytest.approx(alone)


def test_hypervolume_of_nothing_is_0():
    assert hypervolume(points(), REFERENCE) == 0.0


def test_a_dominated_point_adds_nothing_and_a_better_one_adds_something():
    before = hypervolume(points((0.05, 0.5)), REFERENCE)
    assert hypervolume(points((0.05, 0.5), (0.06, 0.6)), REFERENCE) == pytest.approx(before)
    assert hypervolume(points((0.05, 0.5), (0.06, 0.4)), REFERENCE) > before


@pytest.mark.parametrize("seed", range(10))
def test_hypervolume_is_the_number_of_dominated_cells_of_a_grid(seed):
    """Exact, since all points are corners of cells."""
    given = random_points(seed)
    loss, latency = np.meshgrid(np.arange(-2, 10) / 100 + 0.005, np.arange(0, 10) / 10 + 0.05)
    dominated = np.zeros_like(loss, dtype=bool)
    for point in given:
        dominated |= (point[0] <= loss) & (point[1] <= latency)
    assert hypervolume(given, REFERENCE) == pytest.approx(dominated.sum() * 0.01 * 0.1)


def test_hypervolume_is_what_random_shots_hit():
    rng = np.random.default_rng(0)
    given = rng.random((20, 2)) * REFERENCE
    shots = rng.random((100_000, 2)) * REFERENCE
    hit = (given[None, :, :] <= shots[:, None, :]).all(axis=2).any(axis=1).mean()
    area = REFERENCE[0] * REFERENCE[1]
    assert hypervolume(given, REFERENCE) == pytest.approx(hit * area, abs=0.01 * area)
