"""Which groups of channels a model has, and which of them can really be pruned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import paddle

from spaces.errors import one_line
from spaces.layers import Layer
from spaces.plan import PruningGroup
from trainables.compression.layers import LayerTable
from trainables.compression.modes import quietly
from trainables.compression.slim import ChannelPruner
from trainables.task import ModelInput
from trainables.training import predict

TRIED_RATIO = 0.5


@dataclass(frozen=True)
class LeftOut:
    """A group that is not pruned, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class GroupSurvey:
    groups: tuple[PruningGroup, ...]
    left_out: tuple[LeftOut, ...]
    layers: tuple[Layer, ...]
    """The model's layers, and which of the groups narrow them."""


def _fresh(
    build_model: Callable[[], paddle.nn.Layer], inputs: Sequence[ModelInput]
) -> ChannelPruner:
    return ChannelPruner(build_model(), inputs)


def _failure_of(
    pruner: ChannelPruner, group: str, probe: list[paddle.Tensor], shapes: list[tuple[int, ...]]
) -> str | None:
    """Return why the model does not run with only this group pruned, None if it does."""
    try:
        pruner.prune({group: TRIED_RATIO})
        with quietly():
            outputs = predict(pruner.model, probe)
    except Exception as error:  # PaddleSlim and paddle raise every kind here.
        return f"pruned alone the model fails ({one_line(error)})"
    if [output.shape for output in outputs] != shapes:
        return "pruning it changes the shape of the model's outputs"
    return None


def survey_groups(
    build_model: Callable[[], paddle.nn.Layer],
    inputs: Sequence[ModelInput],
    protected_layers: Sequence[str] = (),
) -> GroupSurvey:
    """Return the groups that can be pruned, each tried on its own, and those left out.

    A group that PaddleSlim gets wrong shows when it is pruned alone and the model
    run. If the model cannot be traced at all there are no groups, and the reason
    stands under the name "model".
    """
    try:
        pruner = _fresh(build_model, inputs)
    except Exception as error:
        return GroupSurvey((), (LeftOut("model", f"cannot be traced ({one_line(error)})"),), ())
    rng = np.random.default_rng(0)
    # Two samples: a batch axis that has been pruned by mistake then shows.
    probe = [
        paddle.to_tensor(rng.standard_normal((2, *spec.shape)).astype(spec.dtype))
        for spec in inputs
    ]
    shapes = [output.shape for output in predict(pruner.model, probe)]
    table = LayerTable(pruner.model, probe)
    sizes = {name: p.shape[0] for name, p in pruner.model.named_parameters()}
    groups, left_out = [], []
    for name, members in pruner.groups().items():
        producers = pruner.producers(name)
        protected = [
            layer
            for layer in protected_layers
            if any(p == layer or p.startswith(f"{layer}.") for p in producers)
        ]
        if protected:
            left_out.append(LeftOut(name, f"protected layer {protected[0]}"))
            continue
        if sizes[name] < 2:
            left_out.append(LeftOut(name, "it has a single channel"))
            continue
        failure = _failure_of(pruner, name, probe, shapes)
        if failure is None:
            groups.append(PruningGroup(name, sizes[name], members))
            table.note_pruned(pruner.model, name, 1 - pruner.width(name) / sizes[name])
            pruner.restore()
        else:
            left_out.append(LeftOut(name, failure))
            # The failed prune may have stopped half-way: only a new model is known to be whole.
            pruner = _fresh(build_model, inputs)
    found = {group.name for group in groups} | {item.name for item in left_out}
    covered = {member for group in groups for member in group.members} | found
    for name, parameter in pruner.model.named_parameters():
        if len(parameter.shape) == 4 and name not in covered:
            left_out.append(LeftOut(name, "PaddleSlim finds no group for it"))
    return GroupSurvey(tuple(groups), tuple(left_out), table.layers())
