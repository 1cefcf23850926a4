"""Levels of training: geometric, the last one the training in full."""

from dataclasses import replace

import pytest

from tests.search.made_run import baseline as made_baseline
from trainables.levels import FIXED_COST, TEACHER_COST, training_cost, training_levels
from trainables.settings import WorkerSettings


def levels(**values):
    return training_levels(WorkerSettings(**values), made_baseline())


def test_each_level_has_four_times_the_training_of_all_before():
    found = levels(finetune_samples=100, retrain_samples=1600, qat_samples=10)
    assert [level.samples for level in found] == [100, 300, 1200]
    assert [level.fidelity for level in found] == [1 / 16, 1 / 4, 1]
    assert [level.index for level in found] == [0, 1, 2]


def test_quantized_training_grows_with_the_level_and_ends_as_set():
    found = levels(
        finetune_samples=100, retrain_samples=1600, qat_samples=10, retrain_qat_samples=77
    )
    assert [level.quantized_samples for level in found] == [10, 40, 77]


def test_the_last_level_may_be_shorter():
    found = levels(finetune_samples=100, retrain_samples=1000, promotion_factor=4)
    assert [level.samples for level in found] == [100, 300, 600]
    assert found[-1].fidelity == 1


@pytest.mark.parametrize("full", [1, 100])
def test_a_training_in_full_that_is_no_longer_is_the_only_level(full):
    (only,) = levels(finetune_samples=100, retrain_samples=full, qat_samples=10)
    assert (only.samples, only.fidelity, only.quantized_samples) == (100, 1, 10)


def test_steps_count_in_batches():
    assert levels(finetune_steps=5, batch_size=20, retrain_samples=1)[0].samples == 100
    # Without a batch size of its own a study has the task's recipe's.
    baseline = replace(made_baseline(), batch_size=8)
    settings = WorkerSettings(finetune_steps=5, retrain_samples=1)
    assert training_levels(settings, baseline)[0].samples == 40


def test_a_sample_costs_less_the_fewer_multiply_adds_remain():
    assert training_cost(1.0) == 1
    assert training_cost(0.0) == FIXED_COST
    assert FIXED_COST < training_cost(0.1) < training_cost(0.5) < 1


def test_learning_from_a_teacher_costs_its_run():
    added = training_cost(0.5, taught=True) - training_cost(0.5)
    assert added == pytest.approx(TEACHER_COST)
