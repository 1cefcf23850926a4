"""The layers of an exported program: its convolutions and matrix products that have a weight."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from paddle.base.proto import framework_pb2

from trainables.deployment.exported import MODEL_FILE
from trainables.deployment.program import QUANTIZERS

PRODUCTS = ("mul", "matmul", "matmul_v2", "fc")
# Inputs of a layer that may be its weight, by the operator's type.
WEIGHTS = {
    **dict.fromkeys(("conv2d", "depthwise_conv2d", "conv2d_transpose", "conv3d"), ("Filter",)),
    **dict.fromkeys(PRODUCTS, ("X", "Y", "W")),
}


@dataclass(frozen=True)
class ExportedLayer:
    """A convolution or matrix product of an exported program."""

    weight: str
    """The weight's name in the program."""
    output: str
    """The name of what it writes."""
    kind: str
    """The operator's type."""
    is_quantized: bool
    """Whether the program has the weight as integers."""


def exported_layers(folder: Path) -> list[ExportedLayer]:
    """Return the layers of the exported model in a folder, in the program's order."""
    program = framework_pb2.ProgramDesc.FromString((folder / MODEL_FILE).read_bytes())
    stored = {variable.name for variable in program.blocks[0].vars if variable.persistable}
    behind: dict[str, str] = {}
    """What a quantize or dequantize step reads, by what it writes."""
    found = []
    for op in program.blocks[0].ops:
        slots = {slot.parameter: [*slot.arguments] for slot in op.inputs}
        outputs = [name for slot in op.outputs for name in slot.arguments]
        if op.type in QUANTIZERS:
            behind[outputs[0]] = slots["X"][0]
        for slot in WEIGHTS.get(op.type, ()):
            for name in slots.get(slot, ()):
                weight = name
                while weight in behind:
                    weight = behind[weight]
                if weight in stored:
                    found.append(ExportedLayer(weight, outputs[0], op.type, weight != name))
    return found
