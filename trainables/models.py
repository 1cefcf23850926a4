"""New models of a task."""

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
# Biases without effect, by the task's id, as a task need not be hashable. An entry lives as long
# as its task. Finding them takes the time of three runs, and all models of a task have the same.
_useless: dict[int, Pairs] = {}


def _samples(task: Task) -> list[Array]:
    try:
        return task_samples(task)
    except Exception:  # A task's code may raise any type; `--check-task` reports it.
        return random_samples(task.inputs)


def _useless_biases(task: Task, model: paddle.nn.Layer) -> Pairs:
    known = _useless.get(id(task))
    if known is None:
        known = useless_biases(model, lambda: _samples(task))
        # A task without weak references, as with slots, is examined each time.
        with contextlib.suppress(TypeError):
            weakref.finalize(task, _useless.pop, id(task), None)
            _useless[id(task)] = known
    return known


def new_model(task: Task) -> paddle.nn.Layer:
    """Return a new model with its trained weights, without biases that have no effect.

    Weights computed by hooks become parameters (compression/reparametrized.py). Some networks, such
    as PaddleClas's MobileNetV2, name their parameters, and paddle refuses to use a name twice: so
    each model has its own prefix.
    """
    with paddle.utils.unique_name.guard(f"model{next(_COUNT)}_"):
        model = task.build_model()
        fold(model)
    absorb(model, _useless_biases(task, model))
    return model
