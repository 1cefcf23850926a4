"""An exported model as data: its operators, its tensors and its weights.

Nothing in the file is executed or unpickled, and a file that is none is refused in one line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spaces.errors import TaskError
from trainables.tasks.exported.stored_weights import DTYPES, read_weights

# Fields of an attribute by its type (framework.proto).
FIELDS: Mapping[int, str] = {
    0: "i",
    1: "f",
    2: "s",
    3: "ints",
    4: "floats",
    5: "strings",
    6: "b",
    7: "bools",
    8: "block_idx",
    9: "l",
    11: "longs",
    12: "float64s",
    15: "float64",
}
QUANTIZED = re.compile(r"quantize|^quant|^dequant")
PROGRAM, WEIGHTS, NEW_PROGRAM = ".pdmodel", ".pdiparams", ".json"


@dataclass(frozen=True)
class Operation:
    """One operator, with the names of its tensors by slot."""

    type: str
    inputs: Mapping[str, tuple[str, ...]]
    outputs: Mapping[str, tuple[str, ...]]
    attributes: Mapping[str, Any]

    def input(self, slot: str) -> str | None:
        """Return the first tensor of an input slot; None if it has none."""
        return next(iter(self.inputs.get(slot, ())), None)

    def output(self, slot: str = "Out") -> str:
        return self.outputs[slot][0]

    def get(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)

    @property
    def reads(self) -> tuple[str, ...]:
        return tuple(name for names in self.inputs.values() for name in names)

    @property
    def writes(self) -> tuple[str, ...]:
        return tuple(name for names in self.outputs.values() for name in names)


@dataclass(frozen=True)
class Fed:
    """An input of an exported program."""

    name: str
    shape: tuple[int, ...]
    """With the batch axis; -1 for a size that is free."""
    dtype: str


@dataclass(frozen=True)
class ExportedProgram:
    """An exported model: what it computes, in order, without its feed and fetch operators."""

    file: Path
    operations: tuple[Operation, ...]
    inputs: tuple[Fed, ...]
    outputs: tuple[str, ...]
    shapes: Mapping[str, tuple[int, ...]]
    """Of every tensor, as the export has it: -1 for a size that is free."""
    dtypes: Mapping[str, str]
    """numpy's name of every tensor's type."""
    weights: Mapping[str, np.ndarray]


def find_files(model: Path) -> tuple[Path, Path]:
    """Return the program's and the weights' file of a folder, or of a program's own path.

    Raises TaskError, in one line, if there is no program that can be read.
    """
    if model.is_dir():
        found = sorted(model.glob(f"*{PROGRAM}"))
        if len(found) > 1:
            raise TaskError(
                f"model {model} has several programs, {found[0].name} and {found[1].name}; "
                "name one file"
            )
        newer = sorted(model.glob(f"*{NEW_PROGRAM}"))
        program = found[0] if found else next(iter(newer), None)
    else:
        program = model if model.is_file() else None
    if program is None:
        raise TaskError(
            f"model {model} has no {PROGRAM} file; name the folder of an exported model, with "
            "inference.pdmodel and inference.pdiparams"
        )
    if program.suffix == NEW_PROGRAM:
        raise TaskError(
            f"{program} is of Paddle 3's new format; export the model again with "
            "FLAGS_enable_pir_api=0 in the environment, which writes inference.pdmodel"
        )
    return program, program.with_suffix(WEIGHTS)


def _operation(desc: Any) -> Operation:
    def slots(named: Any) -> dict[str, tuple[str, ...]]:
        return {slot.parameter: tuple(slot.arguments) for slot in named if slot.arguments}

    attributes = {}
    for attribute in desc.attrs:
        field = FIELDS.get(attribute.type)
        if field is not None and not attribute.name.startswith("op_"):
            value = getattr(attribute, field)
            attributes[attribute.name] = list(value) if hasattr(value, "extend") else value
    return Operation(desc.type, slots(desc.inputs), slots(desc.outputs), attributes)


def _parsed(file: Path) -> Any:
    from paddle.base.proto import framework_pb2

    try:
        message = framework_pb2.ProgramDesc.FromString(file.read_bytes())
    except OSError as error:
        raise TaskError(f"{file} cannot be read ({error.strerror}); restore it") from error
    except Exception as error:  # protobuf's errors differ by its implementation.
        raise _foreign(file) from error
    kinds = {op.type for block in message.blocks[:1] for op in block.ops}
    if not {"feed", "fetch"} <= kinds:
        raise _foreign(file)
    return message


def _foreign(file: Path) -> TaskError:
    return TaskError(
        f"{file} is not an exported Paddle program (truncated, encrypted, or another format); "
        "export the model again with paddle.jit.save"
    )


def read_program(model: Path) -> ExportedProgram:
    """Return the exported model in a folder, or of a .pdmodel file.

    Raises TaskError, in one line, for files that are missing, truncated, encrypted or foreign.
    """
    file, weight_file = find_files(model)
    block = _parsed(file).blocks[0]
    # Before the weights, which are of other types in an INT8 model.
    for desc in block.ops:
        if QUANTIZED.search(desc.type):
            raise TaskError(
                f"{file} is quantized (operator {desc.type}); name the float model that it was "
                "made from"
            )
    tensors = {v.name: v.type.dense_tensor.tensor for v in block.vars}
    shapes = {name: tuple(int(size) for size in t.dims) for name, t in tensors.items()}
    operations = [_operation(desc) for desc in block.ops]
    feeds = sorted((o for o in operations if o.type == "feed"), key=lambda o: o.get("col", 0))
    fetches = sorted((o for o in operations if o.type == "fetch"), key=lambda o: o.get("col", 0))
    inputs = tuple(
        Fed(name, shapes[name], DTYPES.get(tensors[name].data_type, "float32"))
        for name in (feed.output() for feed in feeds)
    )
    ends = {name for op in (*feeds, *fetches) for name in (*op.inputs, *op.outputs)}
    stored = {
        v.name: shapes[v.name]
        for v in block.vars
        if v.persistable and v.name not in ends and v.type.HasField("dense_tensor")
    }
    return ExportedProgram(
        file=file,
        operations=tuple(op for op in operations if op.type not in ("feed", "fetch")),
        inputs=inputs,
        outputs=tuple(name for op in fetches for name in op.inputs["X"]),
        shapes=shapes,
        dtypes={name: DTYPES.get(t.data_type, "float32") for name, t in tensors.items()},
        weights=read_weights(weight_file, stored),
    )
