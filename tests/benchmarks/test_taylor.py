"""The criterion that needs gradients, against the loss itself."""

import itertools

import numpy as np
import paddle

from benchmarks import taylor
from benchmarks.taylor import taylor_scores
from tests.helpers.tiny.mine import Mine
from trainables.compression.pruner import ChannelPruner


def test_scores_are_the_changes_of_the_loss_to_first_order(tiny_weights, monkeypatch):
    monkeypatch.setattr(taylor, "BATCHES", 1)
    task = Mine(tiny_weights)
    model = task.build_model()
    pruner = ChannelPruner(model, task.inputs)
    group = next(g for g in pruner.groups.values() if "conv1.weight" in g.outputs)
    scores = taylor_scores(model, pruner, task, seed=0)[group.name]

    (batch,) = itertools.islice(task.train_batches(taylor.BATCH_SIZE, 0), 1)
    inputs, targets = paddle.to_tensor(batch.inputs[0]), paddle.to_tensor(batch.targets)

    def loss():
        with paddle.no_grad():
            return float(task.loss(model(inputs), targets))

    step = 0.01
    for channel in range(3):
        gates = np.ones(group.count, "float32")
        gates[channel] = 1 - step
        kept = {name: model.bn1._parameters[name].numpy() for name in ("weight", "bias")}
        before = loss()
        for name, value in kept.items():
            model.bn1._parameters[name].set_value(value * gates)
        change = (loss() - before) / -step
        for name, value in kept.items():
            model.bn1._parameters[name].set_value(value)
        np.testing.assert_allclose(scores[channel], change**2, rtol=0.1, atol=1e-6)
    assert scores.max() > 1e-4
