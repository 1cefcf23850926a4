"""Export of models for the engine, and the comparison of an export with its model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import paddle

from spaces.errors import TrialError
from spaces.plan import Precision
from trainables.deployment import gpu
from trainables.deployment.program import own_scope, path_prefix, write_weights
from trainables.deployment.simplify import simplify
from trainables.task import ModelInput

# Largest RMS difference between the engine's outputs and the model's, relative to the outputs'
# standard deviation. Float differs by rounding only. bfloat16 has 8 bits of mantissa, float16 has
# 11: three halvings less, and a margin that is a guess. INT8 rounds differently where oneDNN fuses
# operators that the model simulates apart, which adds up over layers (0.47 for ResNet50 with a
# pyramid, its metric unharmed; LOG: two-stage detectors). A wrong export (stale weights, lost
# layers, missing scales) differs by about 1.
TOLERANCE: dict[Precision, float] = {
    "float": 1e-3,
    "float16": 0.02,
    "bfloat16": 0.1,
    "int8": 0.7,
}


def input_spec(inputs: Sequence[ModelInput]) -> list[paddle.static.InputSpec]:
    """Return the input specifications of an export, for any batch size."""
    return [paddle.static.InputSpec([None, *i.exported_shape], i.dtype, i.name) for i in inputs]


def _save(model: paddle.nn.Layer, inputs: Sequence[ModelInput], folder: Path) -> None:
    model.eval()
    paddle.jit.save(model, path_prefix(folder), input_spec=input_spec(inputs))


def export_float(model: paddle.nn.Layer, inputs: Sequence[ModelInput], folder: Path) -> None:
    """Export the model in float, without what removed branches leave; the engine also runs it in
    bfloat16."""
    _save(model, inputs, folder)
    simplify(folder, parameter_names(model))


def parameter_names(model: paddle.nn.Layer) -> set[str]:
    """Return the names that the model's parameters have in its exports."""
    return {parameter.name for parameter in model.parameters()}


@contextmanager
def _static(scope: paddle.static.Scope) -> Iterator[None]:
    with paddle.static.scope_guard(scope):
        paddle.enable_static()
        try:
            yield
        finally:
            paddle.disable_static()


@contextmanager
def rewritable_export(
    model: paddle.nn.Layer, inputs: Sequence[ModelInput], folder: Path
) -> Iterator[Callable[[Mapping[str, np.ndarray]], None]]:
    """Export a model; yields a function that writes the export again with some weights replaced.

    It takes arrays by structured name; all other weights are the model's, and what runs in training
    alone is ignored. This is faster than tracing the model for each set of weights.
    """
    # With every operator: the weights that are written may be what makes one change something.
    _save(model, inputs, folder)
    names = {name: parameter.name for name, parameter in model.named_parameters()}
    place = paddle.CPUPlace()
    with own_scope() as scope:
        with _static(scope):
            executor = paddle.static.Executor(place)
            program, _, _ = paddle.static.load_inference_model(path_prefix(folder), executor)

        def write(weights: Mapping[str, np.ndarray]) -> None:
            found = {name: scope.find_var(names[name]) for name in weights}
            tensors = {name: v.get_tensor() for name, v in found.items() if v is not None}
            original = {name: np.array(tensor) for name, tensor in tensors.items()}
            for name, tensor in tensors.items():
                tensor.set(np.ascontiguousarray(weights[name]), place)
            with _static(scope):
                write_weights(folder, program, executor)
            for name, tensor in tensors.items():
                tensor.set(original[name], place)

        yield write


def output_difference(outputs: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> float:
    """Return the largest RMS difference, relative to the reference's standard deviation."""
    if [o.shape for o in outputs] != [r.shape for r in reference]:
        raise TrialError(
            f"the export's outputs have shapes {[o.shape for o in outputs]}, "
            f"the model's {[r.shape for r in reference]}"
        )
    differences = [0.0]
    for output, expected in zip(outputs, reference, strict=True):
        error = float(np.sqrt(np.mean((output.astype("f8") - expected) ** 2)))
        differences.append(error / max(float(np.std(expected)), 1e-12))
    # Unlike max(), np.max returns NaN if any value is NaN.
    return float(np.max(differences))


def tolerance(precision: Precision) -> float:
    """Return the largest difference that is allowed on this machine."""
    rounded = precision == "float" and gpu.rounds_floats()
    return TOLERANCE["float16" if rounded else precision]


def check_outputs(
    outputs: Sequence[np.ndarray], reference: Sequence[np.ndarray], precision: Precision
) -> float:
    """Return an export's output difference; TrialError above the precision's tolerance."""
    difference, allowed = output_difference(outputs, reference), tolerance(precision)
    if not difference <= allowed:
        raise TrialError(
            f"the exported {precision} model's outputs differ from the model's by {difference:.3g} "
            f"of their spread, more than {allowed}"
        )
    return difference
