"""A task's model, built as often as needed."""

from __future__ import annotations

import itertools

import paddle

from trainables.task import Task

_COUNT = itertools.count()


def new_model(task: Task) -> paddle.nn.Layer:
    """Return a new model of the task with its trained weights.

    Some networks, PaddleClas's MobileNetV2 for one, name their parameters themselves, and paddle
    refuses a name that it has given away before: so each model gets names of its own.
    """
    with paddle.utils.unique_name.guard(f"model{next(_COUNT)}_"):
        return task.build_model()
