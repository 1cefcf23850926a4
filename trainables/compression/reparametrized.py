"""Reparametrized weights, which a hook computes from other parameters before a layer runs.

`weight_norm` and `spectral_norm` help training from scratch. In a trained model the result is one
weight: as a plain parameter it can be pruned and quantized, and the engine need not compute it.
"""

from __future__ import annotations

import paddle
from paddle import nn
from paddle.nn.utils.spectral_norm_hook import SpectralNorm
from paddle.nn.utils.weight_norm_hook import WeightNorm


def _computed(layer: nn.Layer, hook: WeightNorm | SpectralNorm) -> paddle.Tensor:
    with paddle.no_grad():
        if isinstance(hook, SpectralNorm):
            return hook.compute_weight(layer, do_power_iteration=False)
        return hook.compute_weight(layer)


def fold(model: nn.Layer) -> None:
    """Replace each hook and its parameters by the weight it computes in evaluation."""
    for layer in model.sublayers(include_self=True):
        for key, hook in list(layer._forward_pre_hooks.items()):
            if not isinstance(hook, (WeightNorm, SpectralNorm)):
                continue
            weight = _computed(layer, hook)
            del layer._forward_pre_hooks[key]
            if hook.name in layer._buffers:
                # The weight of the last run.
                delattr(layer, hook.name)
            for suffix in ("_g", "_v", "_orig", "_u"):
                layer._parameters.pop(hook.name + suffix, None)
                layer._buffers.pop(hook.name + suffix, None)
            parameter = layer.create_parameter(weight.shape, dtype=weight.dtype)
            parameter.set_value(weight)
            layer.add_parameter(hook.name, parameter)
