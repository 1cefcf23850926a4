"""An exported model rebuilt, operator by operator, as a network of ordinary layers.

So channels can be removed from it, it can be trained, quantized and exported, as any model can.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
from paddle import nn
from paddle.nn.layer.conv import _ConvNd
from paddle.nn.layer.norm import _BatchNormBase

from spaces.errors import TaskError
from trainables.tasks.exported import elementwise, layout, maps, shapes, weighted  # noqa: F401
from trainables.tasks.exported.building import BUILDERS, Made, Site, Value, Weights
from trainables.tasks.exported.program import NEW_PROGRAM, ExportedProgram, Operation
from trainables.tasks.exported.rewriting import read_operations, with_biases, with_whole_filters
from trainables.tasks.exported.windows import checked_windows

# Slots whose weight names a layer.
NAMING = ("Filter", "W", "Scale", "Y", "Alpha")
# Smallest share of convolutions with a batch norm for which norms take a batch's statistics in
# training. Of a model whose norms are folded into its convolutions, the few that are left are
# frozen: PP-OCRv4's detector, 3 norms on 64 convolutions, pruned by a tenth, agrees with the
# original to an IoU of 0.62 after 240 images with frozen statistics, and to 0.01 with a batch's.
NORMED_SHARE = 0.5


@dataclass(frozen=True)
class Step:
    """One call of a sublayer."""

    layer: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    unread: tuple[str, ...]
    """Tensors that no later step reads."""


class ExportedNetwork(nn.Layer):
    """The layers of an exported model, run in the order of its operators.

    It returns the tensors named `outputs` in evaluation, and those named `matched` in training:
    one tensor, or a list.
    """

    def __init__(
        self,
        steps: Sequence[tuple[str, Made]],
        inputs: Sequence[str],
        outputs: Sequence[str],
        matched: Sequence[str],
    ) -> None:
        super().__init__()
        self._inputs, self._outputs, self._matched = tuple(inputs), tuple(outputs), tuple(matched)
        for name, made in steps:
            if name not in self._sub_layers:
                self.add_sublayer(name, made.layer)
        self._steps = _with_lifetimes(steps, {*outputs, *matched})

    def forward(self, first: Any, second: Any = None, third: Any = None, fourth: Any = None) -> Any:
        # An export counts the arguments, so they cannot be any number.
        return self._computed(first, second, third, fourth)

    @paddle.jit.not_to_static  # type: ignore[untyped-decorator]
    def _computed(self, *inputs: Any) -> Any:
        tensors = dict(zip(self._inputs, inputs, strict=False))
        for step in self._steps:
            # By name: quantization puts other layers in the place of these.
            found = self._sub_layers[step.layer](*(tensors[name] for name in step.reads))
            several = found if isinstance(found, tuple) else (found,)
            tensors.update(zip(step.writes, several, strict=False))
            for name in step.unread:
                tensors.pop(name, None)
        wanted = self._matched if self.training else self._outputs
        results = [tensors[name] for name in wanted]
        return results[0] if len(results) == 1 else results

    def plans(self) -> dict[str, Any]:
        """Return what the layers found out in the first run, by the tensor that they write."""
        return {
            step.writes[0]: layer.plan
            for step in self._steps
            if getattr(layer := self._sub_layers[step.layer], "plan", None) is not None
        }


def _with_lifetimes(steps: Sequence[tuple[str, Made]], kept: set[str]) -> tuple[Step, ...]:
    read = set(kept)
    found = []
    for name, made in reversed(steps):
        last = {tensor for tensor in (*made.reads, *made.writes) if tensor not in read}
        read |= set(made.reads)
        found.append(Step(name, made.reads, made.writes, tuple(sorted(last))))
    return tuple(reversed(found))


def _layer_name(op: Operation, index: int, layer: nn.Layer, weights: Weights) -> str:
    """Return a layer's name: that of its weight in the program, else its operator's and place."""
    for slot in NAMING if layer.parameters() else ():
        weight = op.input(slot)
        if weight is not None and weight in weights:
            return _plain(weight)
    return f"{op.type}_{index}"


def _plain(weight: str) -> str:
    """Return a weight's name as that of its layer: conv2d_0.w_0 is conv2d_0's."""
    return re.sub(r"\W", "_", re.sub(r"\.w_0$", "", weight))


def _unknown(program: ExportedProgram, kind: str) -> TaskError:
    instead = "search the model in Python"
    if program.file.suffix == NEW_PROGRAM:
        instead = "export it with FLAGS_enable_pir_api=0, which knows more operators"
    return TaskError(
        f"{program.file}: operator {kind} is not supported; end the model before it with "
        f"task_options.outputs, or {instead}"
    )


def build_network(
    program: ExportedProgram,
    plans: Mapping[str, Any] | None = None,
    outputs: Sequence[str] = (),
    matched: Sequence[str] = (),
) -> ExportedNetwork:
    """Return an exported model as a network, with its weights.

    `plans` are those of a first run (`settle`): with them reshapes follow their inputs. `outputs`
    and `matched` name tensors (ExportedNetwork); without them both are the program's outputs.
    Raises TaskError, which names the operator, if one cannot be rebuilt.
    """
    outputs = outputs or program.outputs
    matched = matched or outputs
    wanted = {*outputs, *matched}
    program = with_whole_filters(program)
    weights = Weights(program.weights)
    used = read_operations(with_biases(program), wanted)
    for op in used:
        if op.type not in BUILDERS:
            raise _unknown(program, op.type)
    steps: list[tuple[str, Made]] = []
    names: dict[str, Operation] = {}
    for index, op in enumerate(used):
        made = BUILDERS[op.type](Site(op, program, weights, plans or {}))
        for weight in made.reads:
            if weight in weights and all(weight not in m.writes for _, m in steps):
                steps.append((f"value_{_plain(weight)}", _value(weight, weights)))
        name = _layer_name(op, index, made.layer, weights)
        steps.append((_free_name(name, op, names), made))
    needed = _needed(steps, wanted)
    _freeze_if_folded([made.layer for _, made in needed])
    return ExportedNetwork(needed, [fed.name for fed in program.inputs], outputs, matched)


def _freeze_if_folded(layers: Sequence[nn.Layer]) -> None:
    norms = [layer for layer in layers if isinstance(layer, _BatchNormBase)]
    convolutions = sum(isinstance(layer, _ConvNd) for layer in layers)
    if len(norms) < NORMED_SHARE * convolutions:
        for norm in norms:
            norm._use_global_stats = True


def _free_name(name: str, op: Operation, names: dict[str, Operation]) -> str:
    """Return the name of a layer: the same one for the same weights and attributes."""
    free, number = name, 1
    while free in names:
        other = names[free]
        if other.type == op.type and _layer_of(other) == _layer_of(op):
            return free
        number += 1
        free = f"{name}_{number}"
    names[free] = op
    return free


def _layer_of(op: Operation) -> tuple[Any, ...]:
    data = ("X", "Input", "Ids")
    held = tuple((slot, names) for slot, names in op.inputs.items() if slot not in data)
    return held, tuple(sorted((k, str(v)) for k, v in op.attributes.items()))


def _value(weight: str, weights: Weights) -> Made:
    layer, array = Value(), weights.array(weight)
    if np.issubdtype(array.dtype, np.floating):
        layer.weight = weights.parameter(weight)
    else:
        layer.register_buffer("weight", paddle.to_tensor(array))
    return Made(layer, (), (weight,))


def _needed(steps: Sequence[tuple[str, Made]], wanted: set[str]) -> list[tuple[str, Made]]:
    """Return the steps that the outputs depend on: settled reshapes read no computed sizes."""
    read = set(wanted)
    found = []
    for name, made in reversed(steps):
        if read & set(made.writes):
            read |= set(made.reads)
            found.append((name, made))
    return found[::-1]


def settle(program: ExportedProgram, samples: Sequence[np.ndarray], **named: Any) -> dict[str, Any]:
    """Return what the layers find out when the model is first run, on a batch of samples."""
    network = build_network(program, None, **named)
    network.eval()
    with paddle.no_grad(), checked_windows(network, program.file):
        network(*(paddle.to_tensor(array) for array in samples))
    return network.plans()
