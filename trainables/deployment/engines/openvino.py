"""OpenVINO on the CPU. It reads Paddle's exported files directly."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import openvino
import paddle

from spaces.errors import TrialError, short
from spaces.plan import Precision
from trainables.deployment.engines.protocol import Configuration, Option
from trainables.deployment.exported import MODEL_FILE, PADDLE_FILES
from trainables.deployment.layers import exported_layers
from trainables.deployment.program import flatten_scales, read_ends

NAME = "openvino"
DEVICE = "CPU"
# Of what no operator is quantized. Left to itself OpenVINO takes bfloat16 where the processor has
# it.
FLOATS: Mapping[Precision, str] = {"float": "f32", "bfloat16": "bf16", "int8": "f32"}
# Types of the executed graph that compute nothing.
DATA = ("Const", "Input", "Output")
INT8 = ("i8", "u8")
PRECISIONS: Mapping[str, Precision] = {
    **dict.fromkeys(INT8, "int8"),
    "bf16": "bfloat16",
    "f32": "float",
}
# Types of the executed graph that compute with a weight.
LAYERS = ("Convolution", "Deconvolution", "FullyConnected", "MatMul")
# Lines of its errors that only say where in OpenVINO they come from.
NO_REASON = ("Exception from ", "Check '", "FrontEnd API failed", "While validating")


@cache
def _core() -> openvino.Core:
    return openvino.Core()


def options(precision: Precision) -> dict[str, Option]:
    """Return OpenVINO's properties, but for the number of threads."""
    return {
        "INFERENCE_PRECISION_HINT": FLOATS[precision],
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        # Pinned threads of two processes would share the first core.
        "ENABLE_CPU_PINNING": False,
    }


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(NO_REASON)]
    return short(told[0] if told else str(error))


@dataclass(frozen=True)
class _Node:
    """An operator of the executed graph."""

    kind: str
    precision: str
    made_of: tuple[str, ...]
    """What the exported program's operators write that it stands for."""


class OpenVinoEngine:
    """A model compiled for one number of threads."""

    def __init__(self, folder: Path, precision: Precision, threads: int) -> None:
        self._folder = folder
        self._options = {**options(precision), "INFERENCE_NUM_THREADS": threads}
        try:
            model = _core().read_model(folder / MODEL_FILE)
            self._compiled = _core().compile_model(model, DEVICE, self._options)
        except Exception as error:  # Its own types, and RuntimeError.
            raise TrialError(f"OpenVINO cannot load the model: {_reason(error)}") from error
        self._request = self._compiled.create_infer_request()
        # OpenVINO has inputs in the order of the program's operators.
        inputs, outputs = read_ends(folder)
        self._inputs = [self._compiled.input(name) for name in inputs]
        self._outputs = [self._compiled.output(name) for name in outputs]

    @property
    def configuration(self) -> Configuration:
        return Configuration(NAME, self._options, PADDLE_FILES, {NAME: _version()})

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        arrays = (np.ascontiguousarray(array) for array in inputs)
        self._request.infer(dict(zip(self._inputs, arrays, strict=True)), share_inputs=True)
        return [self._request.get_tensor(output).data.copy() for output in self._outputs]

    def executed(self) -> list[tuple[str, str]]:
        """Return type and precision of each operator of the executed graph, such as
        ("Convolution", "u8")."""
        return [(node.kind, node.precision) for node in self._nodes() if node.kind not in DATA]

    def _nodes(self) -> list[_Node]:
        found = []
        for node in self._compiled.get_runtime_model().get_ordered_ops():
            told = {name: str(value.value) for name, value in node.get_rt_info().items()}
            names = tuple(told.get("originalLayersNames", "").split(","))
            found.append(_Node(told["layerType"], told["runtimePrecision"], names))
        return found

    def layers(self) -> dict[str, Precision]:
        """A node has the names of what it was made of, but none of its own if a batch norm was
        folded into its weight. Layers without a node that is named have the precision of the other
        nodes, if those have one."""
        weights = {layer.output: layer.weight for layer in exported_layers(self._folder)}
        found: dict[str, Precision] = {}
        others: set[str] = set()
        for node in self._nodes():
            if node.kind in LAYERS:
                names = [weights[name] for name in node.made_of if name in weights]
                found.update(dict.fromkeys(names, PRECISIONS.get(node.precision, "float")))
                others |= set() if names else {node.precision}
        if len(others) == 1:
            rest = PRECISIONS.get(others.pop(), "float")
            found |= dict.fromkeys(set(weights.values()) - set(found), rest)
        return found

    def operators(self) -> list[str]:
        return [kind for kind, _ in self.executed()]

    def quantizations(self) -> int:
        return sum(precision in INT8 for kind, precision in self.executed() if kind != "Reorder")


def _version() -> str:
    return str(openvino.__version__.partition("-")[0])


class OpenVino:
    """The runtime."""

    def precisions(self) -> tuple[Precision, ...]:
        able = _core().get_property(DEVICE, "OPTIMIZATION_CAPABILITIES")
        return ("float", "bfloat16", "int8") if "BF16" in able else ("float", "int8")

    def describe(self, precision: Precision) -> str:
        # Paddle's version, since it wrote the operators.
        versions = {"version": openvino.__version__, "paddle": paddle.__version__}
        told = {"precision": precision, "options": options(precision)}
        return json.dumps({"engine": NAME, **versions, **told})

    def prepare(self, folder: Path, precision: Precision) -> None:
        """Give the scales of a quantized model an axis: OpenVINO refuses those without one, which
        PaddleSlim's post-training quantization writes."""
        if precision == "int8":
            flatten_scales(folder)

    def files(self, precision: Precision) -> tuple[str, ...]:
        return PADDLE_FILES

    def load(self, folder: Path, precision: Precision, threads: int) -> OpenVinoEngine:
        return OpenVinoEngine(folder, precision, threads)


RUNTIME = OpenVino()
