"""Biases of convolutions that a batch norm follows: of no use, and in the engine's way.

The norm subtracts a mean, and with it any bias before it. Paddle exports such a bias as an addition
of its own, which keeps oneDNN from fusing convolution, norm and activation into one operator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import paddle
from paddle import nn
from paddle.nn.layer.conv import _ConvNd
from paddle.nn.layer.norm import _BatchNormBase

from trainables.compression.graph.verification import Array, disagreement, in_double_precision
from trainables.evaluation import predict

Pairs = tuple[tuple[str, str], ...]
"""Names of convolutions with a bias, each with that of the batch norm behind it."""


def _followed(model: nn.Layer, probe: list[paddle.Tensor]) -> Pairs:
    """Return the convolutions with a bias whose every output is a batch norm's input."""
    names = {id(layer): name for name, layer in model.named_sublayers()}
    made: dict[int, nn.Layer] = {}
    # Objects that are gone give their ids to others.
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
        elif isinstance(layer, _BatchNormBase):
            hooks.append(layer.register_forward_pre_hook(before))
    try:
        predict(model, probe)
    finally:
        for hook in hooks:
            hook.remove()
    # A layer that is called again might have other company there.
    return tuple(
        (conv, called[0])
        for conv, called in calls.items()
        if len(called) == 1 and called[0] is not None and norms[called[0]] == 1
    )


def absorb(model: nn.Layer, pairs: Pairs) -> None:
    """Take the biases out of the convolutions and, off their means, into the norms behind."""
    layers = dict(model.named_sublayers())
    for conv, norm in pairs:
        mean = layers[norm]._mean
        mean.set_value(mean - layers[conv].bias.astype(mean.dtype))
        layers[conv].bias = None


def useless_biases(model: nn.Layer, samples: Callable[[], Sequence[Array]]) -> Pairs:
    """Return the pairs that `absorb` may be given: the model stays what it is, also in training.

    The model itself is left as it was. None are returned if it cannot be run on the task's
    samples, or is not proven to give the same without them.
    """
    convs = [layer for layer in model.sublayers() if isinstance(layer, _ConvNd)]
    norms = [layer for layer in model.sublayers() if isinstance(layer, _BatchNormBase)]
    if not norms or all(conv.bias is None for conv in convs):
        return ()
    arrays = samples()
    doubled = [a.astype("f8") if a.dtype == np.float32 else a for a in arrays]
    try:
        # So that rounding is not taken for a difference.
        with in_double_precision(model):
            return _proven(model, convs, norms, doubled)
    except Exception:  # A model's own code raises every kind, or has float32 in it.
        try:
            return _proven(model, convs, norms, arrays)
        except Exception:
            return ()


def _proven(
    model: nn.Layer,
    convs: Sequence[_ConvNd],
    norms: Sequence[_BatchNormBase],
    samples: Sequence[Array],
) -> Pairs:
    probe = [paddle.to_tensor(array) for array in samples]
    modes = [(layer, layer.training) for layer in model.sublayers(include_self=True)]
    biases = [(layer, layer.bias) for layer in convs]
    means = [(layer, layer._mean.numpy().copy()) for layer in norms]
    model.eval()
    try:
        pairs = _followed(model, probe)
        if not pairs:
            return ()
        expected = predict(model, probe)
        absorb(model, pairs)
        found = predict(model, probe)
    finally:
        for layer, mode in modes:
            layer.training = mode
        for conv, bias in biases:
            conv.bias = bias
        for norm, mean in means:
            norm._mean.set_value(mean)
    return pairs if disagreement(found, expected) is None else ()
