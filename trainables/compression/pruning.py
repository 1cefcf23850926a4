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
    """Return a new model of the task with the plan's channels removed, not yet fine-tuned.

    Channels are chosen by the trained weights, so the same plan always gives the same model.
    Raises TrialError if the model lacks one of the plan's groups.
    """
    model = new_model(task)
    if not plan.is_pruned:
        return model
    pruner = ChannelPruner(model, task.inputs, criterion)
    unknown = [group for group, _ in plan.ratios if group not in pruner.groups]
    if unknown:
        raise TrialError(f"the model has no pruning group {unknown[0]}")
    pruner.prune(dict(plan.ratios))
    return model
