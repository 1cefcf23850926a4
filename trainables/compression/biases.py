"""Removal of convolution biases that a following batch norm cancels.

The norm subtracts the mean, and the bias with it. Paddle exports such a bias as a separate
addition, which keeps oneDNN from fusing convolution, norm and activation into one operator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import paddle
from paddle import nn
from paddle.nn.layer.conv import _ConvNd

from trainables.compression.graph.verification import Array, disagreement, in_double_precision
from trainables.compression.norms import BATCH_NORMS
from trainables.evaluation import predict

Pairs = tuple[tuple[str, str], ...]
"""Names of a convolution with a bias and of the batch norm that follows it."""


def _normalized_convolutions(model: nn.Layer, inputs: list[paddle.Tensor]) -> Pairs:
    """Return the convolutions with a bias whose output goes to one batch norm."""
    names = {id(layer): name for name, layer in model.named_sublayers()}
    made: dict[int, nn.Layer] = {}
    # Keeps outputs alive: Python reuses the ids of freed objects.
    alive: list[paddle.Tensor] = []
    calls: dict[str, list[str | None]] = {}
    norms: dict[str, int] = {}

    def after(layer: nn.Layer, inputs: object, output: paddle.Tensor) -> None:
        alive.append(output)
        made[id(output)] = layer
        calls.setdefault(names[id(layer)], []).append(None)

    def before(layer: nn.Layer, inputs: tuple[paddle.Tensor, ...]) -> None:
        name = names[id(layer)]
        norms[name] = norms.get(name, 0) + 1
        maker = made.get(id(inputs[0]))
        if maker is not None:
            calls[names[id(maker)]][-1] = name

    hooks = []
    for layer in model.sublayers():
        if isinstance(layer, _ConvNd) and layer.bias is not None:
            hooks.append(layer.register_forward_post_hook(after))
        elif isinstance(layer, BATCH_NORMS):
            hooks.append(layer.register_forward_pre_hook(before))
    try:
        predict(model, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    # A layer that is called twice may have another neighbour the second time.
    return tuple(
        (conv, called[0])
        for conv, called in calls.items()
        if len(called) == 1 and called[0] is not None and norms[called[0]] == 1
    )


def absorb(model: nn.Layer, pairs: Pairs) -> None:
    """Remove the convolutions' biases, and subtract them from the norms' running means."""
    layers = dict(model.named_sublayers())
    for conv, norm in pairs:
        mean = layers[norm]._mean
        mean.set_value(mean - layers[conv].bias.astype(mean.dtype))
        layers[conv].bias = None


def useless_biases(model: nn.Layer, samples: Callable[[], Sequence[Array]]) -> Pairs:
    """Return the pairs that `absorb` can take without changing the model, also in training.

    The model itself is not changed. Empty if it cannot run on the task's samples, or if its outputs
    differ without the biases.
    """
    convs = [layer for layer in model.sublayers() if isinstance(layer, _ConvNd)]
    norms = [layer for layer in model.sublayers() if isinstance(layer, BATCH_NORMS)]
    if not norms or all(conv.bias is None for conv in convs):
        return ()
    arrays = samples()
    doubled = [a.astype("f8") if a.dtype == np.float32 else a for a in arrays]
    try:
        # In float64, so that rounding is not taken for a difference.
        with in_double_precision(model):
            return _verified(model, convs, norms, doubled)
    except Exception:  # The model's own code may raise anything, or need float32.
        try:
            return _verified(model, convs, norms, arrays)
        except Exception:
            return ()


def _verified(
    model: nn.Layer,
    convs: Sequence[_ConvNd],
    norms: Sequence[nn.Layer],
    samples: Sequence[Array],
) -> Pairs:
    """Return all pairs if the outputs are equal without their biases, otherwise none."""
    inputs = [paddle.to_tensor(array) for array in samples]
    modes = [(layer, layer.training) for layer in model.sublayers(include_self=True)]
    biases = [(layer, layer.bias) for layer in convs]
    means = [(layer, layer._mean.numpy().copy()) for layer in norms]
    model.eval()
    try:
        pairs = _normalized_convolutions(model, inputs)
        if not pairs:
            return ()
        expected = predict(model, inputs)
        absorb(model, pairs)
        found = predict(model, inputs)
    finally:
        for layer, mode in modes:
            layer.training = mode
        for conv, bias in biases:
            conv.bias = bias
        for norm, mean in means:
            norm._mean.set_value(mean)
    return pairs if disagreement(found, expected) is None else ()
