"""Programs in Paddle 3's new format (inference.json), read as what the older format holds.

The file is JSON, and nothing in it is executed. Operators become the older ones that they are
(new_operators.py), so all that is known of those serves for both formats.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spaces.errors import TaskError
from trainables.tasks.exported.new_operators import FORMS
from trainables.tasks.exported.program import Fed, Operation
from trainables.tasks.exported.stored_weights import DTYPES

# numpy's types by the end of their names there; bfloat16 has none.
KINDS: Mapping[str, str] = {
    "t_f16": "float16",
    "t_f32": "float32",
    "t_f64": "float64",
    "t_i8": "int8",
    "t_ui8": "uint8",
    "t_i16": "int16",
    "t_i32": "int32",
    "t_i64": "int64",
    "t_bool": "bool",
}
NUMBERS = {name: number for number, name in DTYPES.items()}
UNKNOWN = "pd_op."
"""Before the name of an operator that has no older form here."""


@dataclass
class NewProgram:
    """What a file of the new format holds."""

    operations: list[Operation] = field(default_factory=list)
    inputs: list[Fed] = field(default_factory=list)
    outputs: dict[int, str] = field(default_factory=dict)
    """By their number."""
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    dtypes: dict[str, str] = field(default_factory=dict)
    stored: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Shapes of the weights, by name."""


def read_new_format(file: Path) -> NewProgram | None:
    """Return the program of a file; None if it is none, or of another version."""
    try:
        whole = json.loads(file.read_text(encoding="utf-8"))
        if whole["base_code"]["magic"] != "pir":
            return None
        (region,) = whole["program"]["regions"]
        (block,) = region["blocks"]
        reader = _Reader()
        for op in block["ops"]:
            reader.read(op)
    except OSError as error:
        raise TaskError(f"{file} cannot be read ({error.strerror}); restore it") from error
    except (ValueError, LookupError, TypeError, AttributeError, StopIteration):
        return None
    return reader.found if reader.found.outputs else None


class _Reader:
    """Reads one operator after the other."""

    def __init__(self) -> None:
        self.found = NewProgram()
        # By the numbers of values: names of tensors, and constants.
        self._names: dict[int, tuple[str, ...]] = {}
        self._constants: dict[int, Any] = {}

    def read(self, op: Mapping[str, Any]) -> None:
        dialect, _, kind = op["#"].rpartition(".")
        if op["#"] == "p":
            name = next(value for value in op["A"] if isinstance(value, str))
            self._named(op["O"], name)
            self.found.stored[name] = self.found.shapes[name]
            return
        attributes = {a["N"]: _value(a["AT"]) for a in op["A"]}
        operands = [int(operand["%"]) for operand in op["I"]]
        if dialect == "0" and kind == "combine":
            names = tuple(name for number in operands for name in self._names[number])
            self._names[op["O"][0]["%"]] = names
        elif dialect == "0" and kind in ("split", "slice"):
            self._taken(op, operands[0], attributes)
        elif kind == "fetch":
            (self.found.outputs[int(attributes["col"])],) = self._names[operands[0]]
        elif kind in ("data", "feed"):
            name = str(attributes["name"])
            self._named(op["O"][0], name)
            self.found.inputs.append(Fed(name, self.found.shapes[name], self.found.dtypes[name]))
        else:
            self._computed(kind, op, operands, attributes)

    def _named(self, value: Mapping[str, Any], name: str) -> tuple[str, ...]:
        """Note the names, shapes and types of a value: of a tensor, or of a list of them."""
        described = value["TT"]
        if described["#"].endswith("t_vec"):
            parts = [(f"{name}_{n}", part) for n, part in enumerate(described["D"])]
        else:
            parts = [(name, described)]
        for each, tensor in parts:
            # An output that is left out has no type.
            kind, sizes = tensor["D"][:2] if tensor.get("D") else ({"#": ""}, ())
            self.found.shapes[each] = tuple(int(size) for size in sizes)
            self.found.dtypes[each] = KINDS.get(kind["#"].rpartition(".")[2], "float32")
        self._names[value["%"]] = tuple(each for each, _ in parts)
        return self._names[value["%"]]

    def _taken(self, op: Mapping[str, Any], operand: int, attributes: Mapping[str, Any]) -> None:
        """Name what is taken from a list: its parts have names already."""
        names = self._names[operand]
        if "index" in attributes:
            names = names[attributes["index"] :][:1]
        for value, name in zip(op["O"], names, strict=True):
            self._names[value["%"]] = (name,)

    def _computed(
        self, kind: str, op: Mapping[str, Any], operands: Sequence[int], attributes: dict[str, Any]
    ) -> None:
        written = [self._named(value, f"tensor_{value['%']}") for value in op["O"]]
        if kind in ("full", "full_int_array"):
            value = attributes["value"]
            if DTYPES.get(attributes["dtype"], "float32").startswith(("int", "uint")):
                value = [int(v) for v in value] if isinstance(value, list) else int(value)
            self._constants[op["O"][0]["%"]] = value
            values = value if isinstance(value, list) else [value]
            shape = [len(value)] if isinstance(value, list) else list(attributes["shape"])
            older, inputs = "fill_constant", {}
            attributes = {"dtype": attributes["dtype"], "shape": shape, "value": value}
            if kind == "full_int_array":
                older, attributes["values"] = "assign_value", values
            slots: Sequence[str] = ("Out",)
        elif kind in FORMS and self._is_constant(FORMS[kind].inputs, operands):
            form = FORMS[kind]
            older, slots = form.type, form.outputs
            attributes = {form.renamed.get(n, n): value for n, value in attributes.items()}
            inputs = self._inputs(form.inputs, operands, attributes)
            if older.startswith("reduce_"):
                attributes["reduce_all"] = not attributes.get("dim")
        else:
            # It is refused if the outputs depend on it.
            older, slots = UNKNOWN + kind, [f"Out{n}" for n in range(len(written))]
            inputs = {"X": tuple(n for number in operands for n in self._names.get(number, ()))}
        outputs = dict(zip(slots, written, strict=False))
        self.found.operations.append(Operation(older, inputs, outputs, attributes))

    def _inputs(
        self, slots: Sequence[str], operands: Sequence[int], attributes: dict[str, Any]
    ) -> dict[str, tuple[str, ...]]:
        """Return the tensors by slot, and add constants to the attributes."""
        inputs = {}
        for slot, operand in zip(slots, operands, strict=False):
            # An operand that is left out has the number 0.
            if not operand or not slot:
                continue
            attribute, _, computed = slot.removeprefix("=").partition("|")
            if not slot.startswith("="):
                inputs[slot] = self._names[operand]
            elif operand in self._constants:
                attributes[attribute] = self._constants[operand]
            else:
                inputs[computed] = self._names[operand]
        return inputs

    def _is_constant(self, slots: Sequence[str], operands: Sequence[int]) -> bool:
        """Return whether all operands are constants that have to be."""
        return all(
            not operand or operand in self._constants
            for slot, operand in zip(slots, operands, strict=False)
            if slot.startswith("=") and "|" not in slot
        )


def _value(attribute: Mapping[str, Any]) -> Any:
    """Return the value of an attribute; types as the older format's numbers."""
    kind: str = attribute["#"].rpartition(".")[2]
    value: Any = attribute.get("D")
    if kind == "a_array":
        return [_value(item) for item in value]
    if kind == "a_dtype":
        return NUMBERS.get(value, -1)
    return value
