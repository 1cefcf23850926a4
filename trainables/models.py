"""A task's model, built as often as needed."""

from __future__ import annotations

import itertools
from weakref import WeakKeyDictionary

import paddle

from trainables.compression.biases import Pairs, absorb, useless_biases
from trainables.task import Task

_COUNT = itertools.count()
# Looking for them takes the time of three runs, and a task's models are all alike.
_useless: WeakKeyDictionary[Task, Pairs] = WeakKeyDictionary()


def new_model(task: Task) -> paddle.nn.Layer:
    """Return a new model of the task with its trained weights, less biases that do nothing.

    Some networks, PaddleClas's MobileNetV2 for one, name their parameters themselves, and paddle
    refuses a name that it has given away before: so each model gets names of its own.
    """
    with paddle.utils.unique_name.guard(f"model{next(_COUNT)}_"):
        model = task.build_model()
    if task not in _useless:
        _useless[task] = useless_biases(model, task.inputs)
    absorb(model, _useless[task])
    return model
