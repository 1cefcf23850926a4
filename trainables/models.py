"""A task's model, built as often as needed."""

from __future__ import annotations

import contextlib
import itertools
import weakref

import paddle

from trainables.compression.biases import Pairs, absorb, useless_biases
from trainables.compression.graph.verification import Array, random_samples, task_samples
from trainables.compression.reparametrized import fold
from trainables.task import Task

_COUNT = itertools.count()
# Looking for them takes the time of three runs, and a task's models are all alike.
# By identity, as a user's task need not be hashable; kept as long as the task lives.
_useless: dict[int, Pairs] = {}


def _samples(task: Task) -> list[Array]:
    try:
        return task_samples(task)
    except Exception:  # A task's own code raises every kind; `--check-task` says which.
        return random_samples(task.inputs)


def _useless_biases(task: Task, model: paddle.nn.Layer) -> Pairs:
    known = _useless.get(id(task))
    if known is None:
        known = useless_biases(model, lambda: _samples(task))
        # One that nothing can watch, as with slots, is looked at each time.
        with contextlib.suppress(TypeError):
            weakref.finalize(task, _useless.pop, id(task), None)
            _useless[id(task)] = known
    return known


def new_model(task: Task) -> paddle.nn.Layer:
    """Return a new model of the task with its trained weights, less biases that do nothing.

    Weights that hooks compute are parameters (compression/reparametrized.py).

    Some networks, PaddleClas's MobileNetV2 for one, name their parameters themselves, and paddle
    refuses a name that it has given away before: so each model gets names of its own.
    """
    with paddle.utils.unique_name.guard(f"model{next(_COUNT)}_"):
        model = task.build_model()
        fold(model)
    absorb(model, _useless_biases(task, model))
    return model
