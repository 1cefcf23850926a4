"""ONNX Runtime on the CPU. It loads an ONNX file that is written beside Paddle's."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import paddle

from spaces.errors import ExportError, TrialError, one_line
from spaces.plan import Precision
from trainables.deployment.engines.protocol import Configuration, Option
from trainables.deployment.exported import ONNX_FILE
from trainables.deployment.layers import exported_layers
from trainables.deployment.onnx_export import convert
from trainables.deployment.onnx_types import integers_of
from trainables.deployment.program import read_ends

NAME = "onnxruntime"
PROVIDERS = ("CPUExecutionProvider",)
# Threads that wait for work would take the core of another trial.
ENTRIES = {
    "session.intra_op.allow_spinning": "0",
    "session.inter_op.allow_spinning": "0",
}
# Errors only: it warns of every name that an optimization leaves unused.
SEVERITY = 3
# Beginnings of the types that compute on INT8 values.
INT8 = ("QLinear", "MatMulInteger", "ConvInteger")


def _session_options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = SEVERITY
    for name, value in ENTRIES.items():
        options.add_session_config_entry(name, value)
    return options


class OnnxRuntimeEngine:
    """A session on one number of threads."""

    def __init__(self, folder: Path, threads: int) -> None:
        self._folder = folder
        self._file, self._threads = str(folder / ONNX_FILE), threads
        try:
            self._session = self._new_session(_session_options(threads))
        except Exception as error:  # Each of its operators raises its own type.
            raise TrialError(f"ONNX Runtime cannot load the model: {one_line(error)}") from error
        self._inputs, self._outputs = read_ends(folder)

    def _new_session(self, options: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(self._file, options, providers=[*PROVIDERS])

    @property
    def configuration(self) -> Configuration:
        options: dict[str, Option] = {
            "intra_op_num_threads": self._threads,
            "inter_op_num_threads": 1,
            **ENTRIES,
        }
        return Configuration(NAME, options, (ONNX_FILE,), {NAME: onnxruntime.__version__})

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        outputs = self._session.run(self._outputs, dict(zip(self._inputs, inputs, strict=True)))
        return list(outputs)

    @cached_property
    def _executed(self) -> list[tuple[str, tuple[str, ...]]]:
        """Type and inputs of each operator that runs."""
        options = _session_options(self._threads)
        with tempfile.TemporaryDirectory() as folder:
            options.optimized_model_filepath = str(Path(folder) / ONNX_FILE)
            self._new_session(options)
            graph = onnx.load(options.optimized_model_filepath).graph
        return [(node.op_type, tuple(node.input)) for node in graph.node]

    def operators(self) -> list[str]:
        return [kind for kind, _ in self._executed]

    def quantizations(self) -> int:
        return sum(kind.startswith(INT8) for kind in self.operators())

    def layers(self) -> dict[str, Precision]:
        """It has INT8 and float, and gives weights in float other names, in another layout."""
        integers = {n for kind, inputs in self._executed if kind.startswith(INT8) for n in inputs}
        return {
            layer.weight: "int8" if integers_of(layer.weight) in integers else "float"
            for layer in exported_layers(self._folder)
        }


class OnnxRuntime:
    """The runtime."""

    def precisions(self) -> tuple[Precision, ...]:
        return ("float", "int8")

    def describe(self, precision: Precision) -> str:
        versions = {"version": onnxruntime.__version__, "paddle2onnx": version("paddle2onnx")}
        told = {"paddle": paddle.__version__, "precision": precision, "options": ENTRIES}
        return json.dumps({"engine": NAME, **versions, **told})

    def prepare(self, folder: Path, precision: Precision) -> None:
        """Write the ONNX file."""
        try:
            convert(folder, folder / ONNX_FILE, precision)
        except ExportError as error:
            raise TrialError(str(error)) from error

    def files(self, precision: Precision) -> tuple[str, ...]:
        return (ONNX_FILE,)

    def load(self, folder: Path, precision: Precision, threads: int) -> OnnxRuntimeEngine:
        return OnnxRuntimeEngine(folder, threads)


RUNTIME = OnnxRuntime()
