"""Which groups of channels a model has, and which of them can really be pruned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import paddle

from spaces.errors import one_line
from spaces.layers import Layer
from spaces.plan import PruningGroup
from trainables.compression.dependency import IS_OUTPUT, ChannelGroup
from trainables.compression.layers import LayerTable
from trainables.compression.modes import quietly
from trainables.compression.pruner import ChannelPruner
from trainables.task import ModelInput
from trainables.training import predict

TRIED_RATIO = 0.5
# Largest difference between a pruned and a masked model's outputs, as a share of their spread:
# sums over fewer channels are rounded in another order.
TOLERANCE = 1e-3


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


def _failure_of(
    pruner: ChannelPruner, groups: Sequence[str], probe: list[paddle.Tensor]
) -> str | None:
    """Return what is wrong with the model once these groups are pruned, None if it is right.

    It is right if it gives what the whole model does with 0 in place of what was removed.
    """
    ratios = dict.fromkeys(groups, TRIED_RATIO)
    with pruner.with_weights(pruner.masked(ratios)):
        expected = predict(pruner.model, probe)
    try:
        pruner.prune(ratios)
        with quietly():
            outputs = predict(pruner.model, probe)
    except Exception as error:  # A model's own code raises every kind.
        return f"pruned the model fails ({one_line(error)})"
    finally:
        pruner.restore()
    if [o.shape for o in outputs] != [e.shape for e in expected]:
        return "pruning it changes the shape of the model's outputs"
    for output, wanted in zip(outputs, expected, strict=True):
        difference = float(np.abs(output.astype("f8") - wanted).max())
        if not difference <= TOLERANCE * max(float(np.std(wanted)), 1e-12):
            return "pruned the model gives something else than masked"
    return None


def _protecting(group: ChannelGroup, protected_layers: Sequence[str]) -> str | None:
    """Return the protected layer that would lose outputs, None if there is none."""
    for layer in protected_layers:
        if any(maker == layer or maker.startswith(f"{layer}.") for maker in group.outputs):
            return layer
    return None


def survey_groups(
    build_model: Callable[[], paddle.nn.Layer],
    inputs: Sequence[ModelInput],
    protected_layers: Sequence[str] = (),
) -> GroupSurvey:
    """Return the groups that can be pruned, and those left out, each with the reason.

    Every group is tried: a model's own code may count on a width, which no trace
    shows. If the model cannot be traced at all there are no groups, and the reason
    stands under the name "model".
    """
    try:
        pruner = ChannelPruner(build_model(), inputs)
    except Exception as error:
        return GroupSurvey((), (LeftOut("model", f"cannot be traced ({one_line(error)})"),), ())
    rng = np.random.default_rng(0)
    # Two samples: a batch axis that has been pruned by mistake then shows.
    probe = [
        paddle.to_tensor(rng.standard_normal((2, *spec.shape)).astype(spec.dtype))
        for spec in inputs
    ]
    # Nobody expects a classifier to lose classes.
    left_out = [LeftOut(k.name, k.reason) for k in pruner.kept if k.reason != IS_OUTPUT]
    names = []
    for group in pruner.groups.values():
        protected = _protecting(group, protected_layers)
        if protected is None:
            names.append(group.name)
        else:
            left_out.append(LeftOut(group.name, f"protected layer {protected}"))
    # One by one only if something is wrong with them all together: a model may have hundreds.
    if names and _failure_of(pruner, names, probe) is not None:
        failures = {name: _failure_of(pruner, [name], probe) for name in names}
        left_out += [LeftOut(name, why) for name, why in failures.items() if why is not None]
        names = [name for name, why in failures.items() if why is None]
    table = LayerTable(pruner.model, probe)
    parameters = dict(pruner.model.named_parameters())
    groups = []
    for name in names:
        group = pruner.groups[name]
        if not table.note_group(group):
            left_out.append(LeftOut(name, "runs in training only"))
            continue
        members = tuple(dict.fromkeys(s.weight for s in group.slices if s.weight in parameters))
        groups.append(PruningGroup(name, pruner.width(name), members, unit=group.unit))
    return GroupSurvey(tuple(groups), tuple(left_out), table.layers())
