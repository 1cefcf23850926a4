"""Inference models out, and loaded back to be checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import paddle

from spaces.errors import TrialError
from spaces.plan import Precision
from trainables.engine import MODEL_FILE, WEIGHTS_FILE
from trainables.task import ModelInput

# Largest root mean square difference between the engine's outputs and the model's, as
# a share of the outputs' standard deviation. Float differs by rounding alone; bfloat16
# has 8 bits of mantissa; INT8 rounds again where oneDNN fuses what the model simulates
# apart. A wrong export (stale weights, lost layers, missing scales) differs by about 1.
TOLERANCE: dict[Precision, float] = {"float": 1e-3, "bfloat16": 0.1, "int8": 0.3}


def input_spec(inputs: Sequence[ModelInput]) -> list[paddle.static.InputSpec]:
    """Return the inputs of an export, with any batch size."""
    return [paddle.static.InputSpec([None, *i.shape], i.dtype, i.name) for i in inputs]


def path_prefix(folder: Path) -> str:
    """Return what paddle's save functions call the path: without the suffix."""
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder / MODEL_FILE.removesuffix(".pdmodel"))


def export_float(model: paddle.nn.Layer, inputs: Sequence[ModelInput], folder: Path) -> None:
    """Write the model in float for the engine, which also runs it in bfloat16."""
    model.eval()
    paddle.jit.save(model, path_prefix(folder), input_spec=input_spec(inputs))


class Reweighted:
    """One export of a model, written again and again with other weights: a trace takes longer."""

    def __init__(self, model: paddle.nn.Layer, inputs: Sequence[ModelInput], folder: Path) -> None:
        export_float(model, inputs, folder)
        self.folder = folder
        self._names = {name: parameter.name for name, parameter in model.named_parameters()}
        # A scope of its own: the global one is every model's.
        self._scope = paddle.static.Scope()
        with self._static():
            self._executor = paddle.static.Executor(paddle.CPUPlace())
            self._program, feeds, self._fetches = paddle.static.load_inference_model(
                path_prefix(folder), self._executor
            )
            self._feeds = [self._program.global_block().var(name) for name in feeds]

    @contextmanager
    def _static(self) -> Iterator[None]:
        with paddle.static.scope_guard(self._scope):
            paddle.enable_static()
            try:
                yield
            finally:
                paddle.disable_static()

    def write(self, weights: Mapping[str, np.ndarray]) -> None:
        """Write the file of weights anew: these by structured name, all others as they were."""
        place = paddle.CPUPlace()
        tensors = {name: self._scope.find_var(self._names[name]).get_tensor() for name in weights}
        original = {name: np.array(tensor) for name, tensor in tensors.items()}
        for name, tensor in tensors.items():
            tensor.set(np.ascontiguousarray(weights[name]), place)
        with self._static():
            data = paddle.static.serialize_persistables(
                self._feeds, self._fetches, self._executor, program=self._program
            )
        (self.folder / WEIGHTS_FILE).write_bytes(data)
        for name, tensor in tensors.items():
            tensor.set(original[name], place)


def output_difference(outputs: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> float:
    """Return the largest root mean square difference, as a share of the reference's spread."""
    if [o.shape for o in outputs] != [r.shape for r in reference]:
        raise TrialError(
            f"the export's outputs have shapes {[o.shape for o in outputs]}, "
            f"the model's {[r.shape for r in reference]}"
        )
    differences = [0.0]
    for output, expected in zip(outputs, reference, strict=True):
        error = float(np.sqrt(np.mean((output.astype("f8") - expected) ** 2)))
        differences.append(error / max(float(np.std(expected)), 1e-12))
    # Unlike max(), numpy's keeps a NaN wherever it stands.
    return float(np.max(differences))


def check_outputs(
    outputs: Sequence[np.ndarray], reference: Sequence[np.ndarray], precision: Precision
) -> float:
    """Return how far an export is from its model; TrialError beyond the precision's tolerance."""
    difference = output_difference(outputs, reference)
    if not difference <= TOLERANCE[precision]:
        raise TrialError(
            f"the exported {precision} model's outputs differ from the model's by {difference:.3g} "
            f"of their spread, more than {TOLERANCE[precision]}"
        )
    return difference
