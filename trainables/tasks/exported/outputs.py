"""What an exported model's outputs are: what a model that imitates it has to match, and how its
fidelity is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from spaces.errors import TaskError, did_you_mean
from trainables.tasks.exported.program import ExportedProgram, Operation

Kind = Literal["classes", "line", "class_map", "map", "values"]
"""Of an output: scores of classes, or the class itself; scores of characters along a line; classes
of places; chances of places; any other numbers."""
KINDS: tuple[Kind, ...] = get_args(Kind)
# Axes that scores of a kind have at least.
LEAST_AXES: Mapping[str, int] = {"line": 3, "class_map": 3, "map": 2}
Form = Literal["scores", "chances", "values"]

# Operators that choose by their input's values, so that no gradient passes them.
CHOOSING = ("arg_max", "arg_min", "top_k_v2", "argsort")
# Operators that leave values as they are.
PASSING = {
    **dict.fromkeys(("cast", "assign", "squeeze2", "unsqueeze2", "transpose2", "reshape2"), "X"),
    **dict.fromkeys(("flatten_contiguous_range", "share_data"), "X"),
}


@dataclass(frozen=True)
class Matched:
    """A tensor that an imitation has to match."""

    tensor: str
    form: Form
    """Scores before a softmax or an arg-max, numbers before a sigmoid, or plain values."""
    axis: int = -1
    """Of the classes."""


class OutputReader:
    """Reads from a program what its outputs are."""

    def __init__(self, program: ExportedProgram) -> None:
        self._program = program
        self._makers = {name: op for op in program.operations for name in op.writes}

    def kind(self, name: str) -> Kind:
        """Return what kind of output a tensor is."""
        rank = len(self._program.shapes[name])
        chosen = self._chosen(name)
        if chosen is not None:
            return "classes" if rank <= 2 else "class_map"
        maker = self._maker(name)
        if maker is not None and maker.type in ("softmax", "log_softmax"):
            axis = maker.get("axis", -1) % rank
            kinds: Mapping[int, Kind] = {2: "classes", 3: "line" if axis == 2 else "class_map"}
            return kinds.get(rank, "class_map")
        if maker is not None and maker.type == "sigmoid" and rank >= 3:
            return "map"
        scores = rank == 2 and self._program.shapes[name][1] > 1
        return "classes" if scores else "values"

    def matched(self, name: str) -> Matched:
        """Return the last floating tensor that decides an output, before what has no gradient."""
        chosen = self._chosen(name)
        if chosen is not None:
            source, axis = chosen
            return self._before_softmax(source, axis)
        maker = self._maker(name)
        if maker is not None and maker.type == "sigmoid":
            return Matched(maker.inputs["X"][0], "chances")
        if maker is not None and maker.type in ("softmax", "log_softmax"):
            return self._before_softmax(name, maker.get("axis", -1))
        if self.kind(name) == "classes":
            return Matched(name, "scores", 1)
        return Matched(name, "values")

    def _maker(self, name: str) -> Operation | None:
        return self._makers.get(name)

    def _chosen(self, name: str) -> tuple[str, int] | None:
        """Return the tensor that an output is chosen from, and the axis of what is chosen."""
        maker = self._maker(name)
        while maker is not None and maker.type in PASSING:
            maker = self._maker(maker.inputs[PASSING[maker.type]][0])
        if maker is None or maker.type not in CHOOSING:
            return None
        return maker.inputs["X"][0], int(maker.get("axis", -1))

    def _before_softmax(self, name: str, axis: int) -> Matched:
        maker = self._maker(name)
        axis %= len(self._program.shapes[name])
        if maker is not None and maker.type in ("softmax", "log_softmax"):
            name = maker.inputs["X"][0]
        return Matched(name, "scores", axis)


def _check_names(program: ExportedProgram, names: Sequence[str], option: str) -> None:
    known = [name for op in program.operations for name in op.writes]
    for name in names:
        if name not in known:
            nearest = did_you_mean(name, known) or f"; its outputs are {', '.join(program.outputs)}"
            raise TaskError(f"{option} {name!r} is no tensor of {program.file}{nearest}")


def matched_tensors(
    program: ExportedProgram, outputs: Sequence[str], named: Sequence[str] = ()
) -> tuple[Matched, ...]:
    """Return what an imitation has to match: the tensors that are named, or those found.

    Raises TaskError for a name that the program does not have.
    """
    _check_names(program, named, "matched:")
    reader = OutputReader(program)
    found = {m.tensor: m for m in map(reader.matched, named or outputs)}
    for matched in found.values():
        if not program.dtypes[matched.tensor].startswith("float"):
            raise TaskError(
                f"{program.file}: output {matched.tensor} has no gradient; name floating tensors "
                "before it with task_options.matched"
            )
    return tuple(found.values())


def output_kinds(
    program: ExportedProgram, outputs: Sequence[str], said: str | Sequence[str] | None
) -> tuple[Kind, ...]:
    """Return the kind of each output: as said, for one or for all, or as found.

    Raises TaskError for an output that the program does not have, for a kind that is unknown, or
    for another number of them.
    """
    _check_names(program, outputs, "outputs:")
    if said is None:
        return tuple(map(OutputReader(program).kind, outputs))
    kinds = [said] * len(outputs) if isinstance(said, str) else list(said)
    if len(kinds) != len(outputs) or any(kind not in KINDS for kind in kinds):
        raise TaskError(
            f"kind {said!r} is not one of {', '.join(KINDS)} for each of {len(outputs)} outputs"
        )
    for name, wanted in zip(outputs, kinds, strict=True):
        rank = len(program.shapes[name])
        are_scores = program.dtypes[name].startswith("float")
        if are_scores and rank < LEAST_AXES.get(wanted, 0):
            raise TaskError(
                f"kind {wanted!r} does not fit output {name}, of {rank} axes; "
                f"leave out kind: it is {OutputReader(program).kind(name)!r} as found"
            )
    return tuple(kind for wanted in kinds for kind in KINDS if kind == wanted)
