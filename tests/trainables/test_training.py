from contextlib import contextmanager

import numpy as np
import pytest

from spaces.errors import TrialError
from tests.helpers.tiny.mine import Mine
from trainables.evaluation import eager, evaluate
from trainables.training import Trainer
from trainables.weights import fingerprint, model_weights


def trainer(task, model, **changes):
    options = {"steps": 40, "learning_rate": 0.05, "batch_size": 32, "seed": 0, **changes}
    return Trainer(model, task, **options)


def test_training_improves_an_untrained_model():
    task = Mine()
    model = task.build_model()
    before = task.metric.aggregate(evaluate(eager(model), task, "val", 100))
    trainer(task, model, steps=100).run(100)
    assert task.metric.aggregate(evaluate(eager(model), task, "val", 100)) > before + 0.2


def test_same_seed_gives_the_same_weights(tiny_weights):
    task = Mine(tiny_weights)
    found = []
    for seed in (1, 1, 2):
        model = task.build_model()
        trainer(task, model, seed=seed).run(10)
        found.append(fingerprint(model_weights(model)))
    assert found[0] == found[1] != found[2]


def test_stretches_follow_one_schedule(tiny_weights):
    task = Mine(tiny_weights)
    whole, parts = task.build_model(), task.build_model()
    trainer(task, whole).run(40)
    stretched = trainer(task, parts)
    for steps in (10, 25, 5):
        stretched.run(steps)
    assert fingerprint(model_weights(whole)) == fingerprint(model_weights(parts))


def test_learning_rate_rises_then_falls_to_nearly_nothing(tiny_weights):
    task = Mine(tiny_weights)
    running = trainer(task, task.build_model(), steps=100, learning_rate=1.0)
    rates = []
    for step in range(100):
        running.step = step
        rates.append(running._learning_rate())
    assert max(rates) == pytest.approx(1.0)
    assert rates[0] < 0.5
    assert rates[-1] < 0.01
    peak = int(np.argmax(rates))
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_loss_that_is_not_a_number_ends_the_training(tiny_weights):
    task = Mine(tiny_weights)
    task.loss = lambda outputs, targets: (outputs * float("nan")).mean()
    with pytest.raises(TrialError, match="nan at step 0"):
        trainer(task, task.build_model()).run(1)


def test_batch_larger_than_the_data_is_explained():
    task = Mine()
    with pytest.raises(TrialError, match="batch_size"):
        trainer(task, task.build_model(), batch_size=100_000).run(1)


def test_every_step_passes_the_guard(tiny_weights):
    steps = []

    @contextmanager
    def guard():
        steps.append(1)
        yield

    task = Mine(tiny_weights)
    trainer(task, task.build_model(), guard=guard).run(7)
    assert len(steps) == 7
