"""A plan's ratios applied to a model."""

from __future__ import annotations

import paddle

from spaces.errors import TrialError
from spaces.plan import ImportanceCriterion, Plan
from trainables.compression.pruner import ChannelPruner
from trainables.models import new_model
from trainables.task import Task


def pruned_model(
    task: Task, plan: Plan, criterion: ImportanceCriterion = "l1_norm"
) -> paddle.nn.Layer:
    """Return a new model of the task with the plan's channels and branches removed, not yet
    fine-tuned.

    Channels are chosen by the trained weights, so the same plan always gives the same model.
    Raises TrialError if the model lacks one of the plan's groups or branches.
    """
    model = new_model(task)
    if not plan.is_pruned:
        return model
    pruner = ChannelPruner(model, task.inputs, criterion)
    for name, ratio in plan.ratios:
        if name not in (pruner.branches if ratio == 1 else pruner.groups):
            kind = "branch" if ratio == 1 else "pruning group"
            raise TrialError(f"the model has no {kind} {name}")
    pruner.prune(dict(plan.ratios))
    return model
