"""An exported model as data: its operators, its tensors and its weights.

Nothing in the file is executed or unpickled, and a file that is none is refused in one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
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
        # Beside a model are other files in JSON.
        newer = [f for f in model.glob(f"*{NEW_PROGRAM}") if f.with_suffix(WEIGHTS).exists()]
        found = found or sorted(newer)
        if len(found) > 1:
            raise TaskError(
                f"model {model} has several programs, {found[0].name} and {found[1].name}; "
                "name one file"
            )
        program = next(iter(found), None)
    else:
        program = model if model.is_file() else None
    if program is None:
        raise TaskError(
            f"model {model} has no {PROGRAM} file; name the folder of an exported model, with "
            "inference.pdmodel (or inference.json) and inference.pdiparams"
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
    """Return the exported model in a folder, or of a .pdmodel or .json file.

    Raises TaskError, in one line, for files that are missing, truncated, encrypted or foreign.
    """
    file, weight_file = find_files(model)
    return _newer(file, weight_file) if file.suffix == NEW_PROGRAM else _older(file, weight_file)


def _newer(file: Path, weight_file: Path) -> ExportedProgram:
    from trainables.tasks.exported.new_format import read_new_format

    found = read_new_format(file)
    if found is None:
        raise _foreign(file)
    _check_float(file, [op.type for op in found.operations])
    return ExportedProgram(
        file=file,
        operations=tuple(found.operations),
        inputs=tuple(found.inputs),
        outputs=tuple(name for _, name in sorted(found.outputs.items())),
        shapes=found.shapes,
        dtypes=found.dtypes,
        weights=read_weights(weight_file, found.stored),
    )


def _check_float(file: Path, types: Iterable[str]) -> None:
    """Raise TaskError for a quantized model; before its weights are read, whose types differ."""
    for kind in types:
        if QUANTIZED.search(kind):
            raise TaskError(
                f"{file} is quantized (operator {kind}); name the float model that it was made from"
            )


def _older(file: Path, weight_file: Path) -> ExportedProgram:
    block = _parsed(file).blocks[0]
    _check_float(file, [desc.type for desc in block.ops])
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
