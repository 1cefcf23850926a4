"""Exports made in tests, and the networks rebuilt from them."""

from contextlib import nullcontext

import numpy as np
import paddle

from trainables.compression.graph.modes import quietly
from trainables.deployment.engines.paddle_inference import PaddleEngine
from trainables.deployment.export import input_spec
from trainables.deployment.program import path_prefix
from trainables.task import ModelInput
from trainables.tasks.exported.network import build_network, settle
from trainables.tasks.exported.program import read_program


def export(model, inputs, folder, new=False):
    """Export a model as a user would, with any batch size, and its norms' statistics shaken."""
    shake(model)
    model.eval()
    with quietly(), paddle.pir_utils.IrGuard() if new else nullcontext():
        paddle.jit.save(model, path_prefix(folder), input_spec=input_spec(inputs))
    return folder


def export_new(model, inputs, folder):
    """Export a model as `export` does, in Paddle 3's new format."""
    return export(model, inputs, folder, new=True)


def shake(model):
    """Give norms statistics, scales and shifts that are not those of a new model."""
    rng = np.random.default_rng(0)
    for layer in model.sublayers():
        if isinstance(layer, paddle.nn.layer.norm._BatchNormBase):
            for tensor in (layer._mean, layer.bias):
                tensor.set_value(rng.normal(0, 0.2, tensor.shape).astype("f4"))
            for tensor in (layer._variance, layer.weight):
                tensor.set_value(rng.uniform(0.5, 1.5, tensor.shape).astype("f4"))


def samples(inputs, count=2, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((count, *i.shape)).astype(i.dtype) for i in inputs]


def rebuilt(folder, inputs=None):
    """Return the network rebuilt from an export, in evaluation mode."""
    program = read_program(folder)
    inputs = inputs or [ModelInput(f.name, f.shape[1:], f.dtype) for f in program.inputs]
    network = build_network(program, settle(program, samples(inputs)))
    network.eval()
    return network


def difference(folder, network, arrays):
    """Return the largest difference from what the export gives, relative to its spread."""
    with paddle.no_grad():
        outputs = paddle.utils.flatten(network(*map(paddle.to_tensor, arrays)))
    wanted = PaddleEngine(folder, None, 1).run(arrays)
    assert [o.shape for o in outputs] == [list(w.shape) for w in wanted]
    return max(
        np.abs(o.numpy() - w).max() / max(np.std(w), 1e-12)
        for o, w in zip(outputs, wanted, strict=True)
    )
