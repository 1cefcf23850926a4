"""How important a channel is by the loss's gradient, to compare with the search's criteria."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from trainables.task import Task

if TYPE_CHECKING:
    import paddle

    from trainables.compression.graph.dependency import ChannelGroup
    from trainables.compression.importance import Array
    from trainables.compression.pruner import ChannelPruner

# Training batches that gradients are taken of, and their samples. Guesses.
BATCHES, BATCH_SIZE = 64, 32


def taylor_scores(
    model: paddle.nn.Layer, pruner: ChannelPruner, task: Task, seed: int
) -> dict[str, Array]:
    """Return each group's scores of channels, shape (channels,): how much the loss changes, to
    first order, if a channel becomes zero, as the mean square over batches.

    With the gate after the batch norm, as in Molchanov et al. (Importance Estimation for Neural
    Network Pruning, CVPR 2019): its gradient is the sum over scale and shift of value times
    gradient. A group without batch norms has the gate at the weights that make the channel.
    """
    import paddle

    parameters = dict(model.named_parameters())
    gates = {name: _gates(group, pruner) for name, group in pruner.groups.items()}
    found = {name: np.zeros(group.count) for name, group in pruner.groups.items()}
    model.eval()
    for batch in itertools.islice(task.train_batches(BATCH_SIZE, seed), BATCHES):
        outputs = model(*(paddle.to_tensor(array) for array in batch.inputs))
        task.loss(outputs, paddle.to_tensor(batch.targets)).backward()
        for name, group in pruner.groups.items():
            change = np.zeros(group.count)
            for part in group.slices:
                if part.weight in gates[name]:
                    weight = parameters[part.weight]
                    product = (weight * weight.grad).numpy().astype("f8")
                    others = tuple(a for a in range(product.ndim) if a != part.axis)
                    change += product.sum(axis=others)[part.indices].sum(axis=1)
            found[name] += change**2 / BATCHES
        model.clear_gradients()
    return found


def _gates(group: ChannelGroup, pruner: ChannelPruner) -> set[str]:
    """Return the names of the parameters whose product with a gate is the gate's product with the
    channel."""
    scales = {part.weight for part in group.slices if pruner.is_scale(part.weight)}
    if not scales:
        return set(group.outputs)
    return scales | {f"{name.removesuffix('weight')}bias" for name in scales}
