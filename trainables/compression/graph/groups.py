"""Which groups of channels a model has, and which of them can really be pruned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import paddle

from spaces.errors import one_line
from spaces.layers import Layer
from spaces.plan import PruningGroup
from trainables.compression.graph.dependency import IS_OUTPUT, ChannelGroup
from trainables.compression.graph.modes import quietly
from trainables.compression.graph.proof import (
    CONSTANT,
    DIFFERENT,
    NOT_FINITE,
    SHAPES,
    Array,
    disagreement,
    in_double_precision,
    random_samples,
    task_samples,
)
from trainables.compression.pruner import ChannelPruner
from trainables.evaluation import predict
from trainables.models import new_model
from trainables.results import Excluded, GroupList, GroupShapes
from trainables.task import ModelInput, Task

# In turn, group by group: code that counts on two groups being as wide shows.
TRIED_RATIOS = (0.5, 0.3, 0.6, 0.4)
# What a reader is told of a comparison.
WORDS = {
    SHAPES: "pruning it changes the shape of the model's outputs",
    DIFFERENT: "pruned the model gives something else than masked",
    NOT_FINITE: f"cannot be verified: the model's {NOT_FINITE}",
    CONSTANT: f"cannot be verified: with its channels masked the model's {CONSTANT}",
}


@dataclass(frozen=True)
class GroupSurvey:
    groups: tuple[PruningGroup, ...]
    excluded: tuple[Excluded, ...]
    layers: tuple[Layer, ...]
    """The model's layers, and which of the groups narrow them."""


class _Verifier:
    """Tries groups: pruned, a model must give what it gives with 0 in place of the channels."""

    def __init__(self, pruner: ChannelPruner, samples: Sequence[Array]) -> None:
        self._pruner = pruner
        self._samples = samples
        self._ratios = {
            name: TRIED_RATIOS[index % len(TRIED_RATIOS)]
            for index, name in enumerate(pruner.groups)
        }
        self._precision = ExitStack()
        self._may_double = True

    def __enter__(self) -> _Verifier:
        return self

    def __exit__(self, *exception: object) -> None:
        self._precision.close()

    def failure(self, names: Sequence[str]) -> str | None:
        """Return what is wrong with the model once these groups are pruned, None if it is right."""
        found = self._failure(names)
        if found in (DIFFERENT, NOT_FINITE, CONSTANT) and self._may_double:
            # It may be rounding. The rest is tried in the same precision.
            self._may_double = False
            if self._doubled():
                found = self._failure(names)
        return None if found is None else WORDS.get(found, found)

    def _doubled(self) -> bool:
        """Go on in float64; return whether the model runs in it."""
        single = self._samples
        self._precision.enter_context(in_double_precision(self._pruner.model))
        self._samples = [a.astype("f8") if a.dtype == np.float32 else a for a in single]
        try:
            with quietly():
                self._outputs()
        except Exception:  # Some operators have no such kernel, and each raises its own kind.
            self._precision.close()
            self._samples = single
            return False
        return True

    def _outputs(self) -> list[Array]:
        return predict(self._pruner.model, [paddle.to_tensor(array) for array in self._samples])

    def _failure(self, names: Sequence[str]) -> str | None:
        pruner, ratios = self._pruner, {name: self._ratios[name] for name in names}
        # Before the masked model runs: most groups that fail do so here, at once.
        try:
            pruner.prune(ratios)
            with quietly():
                found = self._outputs()
        except Exception as error:  # A model's own code raises every kind.
            return f"pruned the model fails ({one_line(error)})"
        finally:
            pruner.restore()
        with pruner.with_weights(pruner.masked(ratios)):
            expected = self._outputs()
        return disagreement(found, expected)


def _right_together(names: Sequence[str], verifier: _Verifier) -> tuple[list[str], list[Excluded]]:
    """Return as many groups as can be pruned together, and the others, in their order.

    By halves: a model may have hundreds of groups, few of which are wrong.
    """
    kept: list[str] = []
    wrong: dict[str, str] = {}

    def add(several: Sequence[str]) -> None:
        if not several:
            return
        failure = verifier.failure([*kept, *several])
        if failure is None:
            kept.extend(several)
        elif len(several) == 1:
            wrong[several[0]] = failure
        else:
            middle = len(several) // 2
            add(several[:middle])
            add(several[middle:])

    add(names)
    excluded = []
    for name, failure in wrong.items():
        alone = verifier.failure([name]) if kept else failure
        if alone is None:
            # What it failed with may not have been all that it goes with.
            failure = f"right alone, but not together with the other groups: {failure}"
            if verifier.failure([*kept, name]) is None:
                kept.append(name)
                continue
        excluded.append(Excluded(name, alone or failure))
    order = list(names)
    return sorted(kept, key=order.index), excluded


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
    samples: Sequence[Array] | None = None,
) -> GroupSurvey:
    """Return the groups that can be pruned, and those left out, each with the reason.

    Every group is tried on `samples`, two of the task's, an array an input: a model's own code may
    count on a width, which no trace shows. If the model cannot be traced at all there are no
    groups, and the reason stands under the name "model".
    """
    try:
        pruner = ChannelPruner(build_model(), inputs)
    except Exception as error:
        return GroupSurvey((), (Excluded("model", f"cannot be traced ({one_line(error)})"),), ())
    # Nobody expects a classifier to lose classes.
    excluded = [Excluded(k.name, k.reason) for k in pruner.kept if k.reason != IS_OUTPUT]
    names = []
    for group in pruner.groups.values():
        protected = _protecting(group, protected_layers)
        narrows = any(group.name in {*la.outputs, *la.inputs} for la in pruner.layers)
        if protected is not None:
            excluded.append(Excluded(group.name, f"protected layer {protected}"))
        elif not narrows:
            excluded.append(Excluded(group.name, "runs in training only"))
        else:
            names.append(group.name)
    if not names:
        # Then these are the reason.
        excluded += [Excluded(k.name, k.reason) for k in pruner.kept if k.reason == IS_OUTPUT]
    with _Verifier(pruner, random_samples(inputs) if samples is None else samples) as verifier:
        names, wrong = _right_together(names, verifier)
    parameters = dict(pruner.model.named_parameters())
    groups = []
    for name in names:
        group = pruner.groups[name]
        members = tuple(dict.fromkeys(s.weight for s in group.slices if s.weight in parameters))
        groups.append(PruningGroup(name, pruner.width(name), members, unit=group.unit))
    return GroupSurvey(
        tuple(groups), (*excluded, *wrong), tuple(_of_groups(la, names) for la in pruner.layers)
    )


def _of_groups(layer: Layer, names: Sequence[str]) -> Layer:
    """Return a layer with the shares of these groups alone."""
    outputs, inputs = (
        {name: share for name, share in side.items() if name in names}
        for side in (layer.outputs, layer.inputs)
    )
    return replace(layer, outputs=outputs, inputs=inputs)


def list_groups(task: Task) -> GroupList:
    """Return what of a task's model can be pruned, with the shapes of what shrinks together."""
    shapes = {name: tuple(p.shape) for name, p in new_model(task).named_parameters()}
    survey = survey_groups(
        lambda: new_model(task), task.inputs, task.protected_layers, task_samples(task)
    )
    groups = [
        GroupShapes(group, tuple((name, shapes[name]) for name in group.members))
        for group in survey.groups
    ]
    return GroupList(tuple(groups), survey.excluded)
