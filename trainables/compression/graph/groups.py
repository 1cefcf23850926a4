"""The pruning groups of a model: found in its dependency graph, then verified by pruning each."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np
import paddle

from spaces.errors import one_line
from spaces.layers import Layer
from spaces.plan import PruningGroup
from trainables.compression.graph.modes import quietly
from trainables.compression.graph.propagation import IS_OUTPUT
from trainables.compression.graph.verification import (
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
from trainables.listings import GroupList, GroupShapes
from trainables.models import new_model
from trainables.results import Excluded
from trainables.task import ModelInput, Task

# Ratios for verification, one group after the other. They differ, so that code which needs two
# groups to be equally wide fails. The values are a guess.
VERIFICATION_RATIOS = (0.5, 0.3, 0.6, 0.4)
# The reason shown for each disagreement.
REASONS = {
    SHAPES: "pruning it changes the shape of the model's outputs",
    DIFFERENT: "the pruned model's outputs differ from those with its channels zeroed",
    NOT_FINITE: f"cannot be verified: the model's {NOT_FINITE}",
    CONSTANT: f"cannot be verified: with its channels zeroed the model's {CONSTANT}",
}


@dataclass(frozen=True)
class GroupSurvey:
    groups: tuple[PruningGroup, ...]
    excluded: tuple[Excluded, ...]
    layers: tuple[Layer, ...]
    """The model's layers, with the groups that narrow each."""
    branches: tuple[PruningGroup, ...] = ()
    """The branches that can be taken out."""
    kept_branches: tuple[Excluded, ...] = ()
    """Sublayers that end a branch which cannot be taken out, with the reasons."""


class _Verifier:
    """Verifies groups: pruning them must give the same outputs as zeroing their channels."""

    def __init__(self, pruner: ChannelPruner, samples: Sequence[Array]) -> None:
        self._pruner = pruner
        self._samples = samples
        self._ratios = {
            name: VERIFICATION_RATIOS[index % len(VERIFICATION_RATIOS)]
            for index, name in enumerate(pruner.groups)
        } | dict.fromkeys(pruner.branches, 1.0)
        self._precision = ExitStack()
        self._may_double = True

    def __enter__(self) -> _Verifier:
        return self

    def __exit__(self, *exception: object) -> None:
        self._precision.close()

    def failure(self, names: Sequence[str]) -> str | None:
        """Return why these groups cannot be pruned together, None if they can."""
        found = self._failure(names)
        if found in (DIFFERENT, NOT_FINITE, CONSTANT) and self._may_double:
            # It may be rounding, so repeat in float64; later groups are verified in float64 too.
            self._may_double = False
            if self._switch_to_float64():
                found = self._failure(names)
        return None if found is None else REASONS.get(found, found)

    def _switch_to_float64(self) -> bool:
        """Switch to float64 for the rest; return False if the model cannot run in it."""
        single = self._samples
        self._precision.enter_context(in_double_precision(self._pruner.model))
        self._samples = [a.astype("f8") if a.dtype == np.float32 else a for a in single]
        try:
            with quietly():
                self._outputs()
        except Exception:  # Some operators have no float64 kernel; their errors vary.
            self._precision.close()
            self._samples = single
            return False
        return True

    def _outputs(self) -> list[Array]:
        return predict(self._pruner.model, [paddle.to_tensor(array) for array in self._samples])

    def _failure(self, names: Sequence[str]) -> str | None:
        pruner, ratios = self._pruner, {name: self._ratios[name] for name in names}
        # The pruned model runs first: most failing groups fail here, without the masked run.
        try:
            pruner.prune(ratios)
            with quietly():
                found = self._outputs()
        except Exception as error:  # The model's own code may raise anything.
            return f"the pruned model fails ({one_line(error)})"
        finally:
            pruner.restore()
        with pruner.mask(ratios):
            expected = self._outputs()
        return disagreement(found, expected)


def _verified_together(
    names: Sequence[str], verifier: _Verifier, others: Sequence[str] = ()
) -> tuple[list[str], list[Excluded]]:
    """Split groups into those that can all be pruned together, and the excluded ones.

    All are pruned together with `others`, which passed before. By bisection: a model may have
    hundreds of groups, and few of them fail.
    """
    passed = list(others)
    failures: dict[str, str] = {}

    def add(several: Sequence[str]) -> None:
        if not several:
            return
        failure = verifier.failure([*passed, *several])
        if failure is None:
            passed.extend(several)
        elif len(several) == 1:
            failures[several[0]] = failure
        else:
            middle = len(several) // 2
            add(several[:middle])
            add(several[middle:])

    add(names)
    excluded = []
    for name, failure in failures.items():
        alone = verifier.failure([name]) if passed else failure
        if alone is None:
            failure = f"passes alone, but not together with the other groups: {failure}"
            # Groups that passed later may be the ones it needs: verify it with all of them.
            if verifier.failure([*passed, name]) is None:
                passed.append(name)
                continue
        excluded.append(Excluded(name, alone or failure))
    order = list(names)
    return sorted(set(passed) - set(others), key=order.index), excluded


def _protecting(weights: Sequence[str], protected_layers: Sequence[str]) -> str | None:
    """Return the protected layer that has one of these weights, None if there is none."""
    for layer in protected_layers:
        if any(weight == layer or weight.startswith(f"{layer}.") for weight in weights):
            return layer
    return None


def _candidate_branches(
    pruner: ChannelPruner, protected_layers: Sequence[str]
) -> tuple[list[str], list[Excluded]]:
    """Split the dependency graph's branches into those to verify, and the excluded ones."""
    excluded = [Excluded(k.name, k.reason) for k in pruner.kept_branches]
    names = []
    for branch in pruner.branches.values():
        protected = _protecting(branch.weights, protected_layers)
        if protected is None:
            names.append(branch.name)
        else:
            excluded.append(Excluded(branch.name, f"protected layer {protected}"))
    return names, excluded


def _candidates(
    pruner: ChannelPruner, protected_layers: Sequence[str]
) -> tuple[list[str], list[Excluded]]:
    """Split the dependency graph's groups into those to verify, and the excluded ones."""
    # A classifier's outputs are never expected to shrink, so they are not worth a line.
    excluded = [Excluded(k.name, k.reason) for k in pruner.excluded if k.reason != IS_OUTPUT]
    names = []
    for group in pruner.groups.values():
        protected = _protecting(group.outputs, protected_layers)
        narrows = any(group.name in {*la.outputs, *la.inputs} for la in pruner.layers)
        if protected is not None:
            excluded.append(Excluded(group.name, f"protected layer {protected}"))
        elif not narrows:
            excluded.append(Excluded(group.name, "runs in training only"))
        else:
            names.append(group.name)
    if not names:
        # Only the model's outputs are left to explain why there is no group.
        excluded += [Excluded(k.name, k.reason) for k in pruner.excluded if k.reason == IS_OUTPUT]
    return names, excluded


def survey_groups(
    build_model: Callable[[], paddle.nn.Layer],
    inputs: Sequence[ModelInput],
    protected_layers: Sequence[str] = (),
    samples: Sequence[Array] | None = None,
) -> GroupSurvey:
    """Return the groups that can be pruned, and the excluded ones with their reasons.

    Every group is verified on `samples`, two of the task's, one array per input: the model's own
    code may depend on a width, which no trace shows. A model that cannot be traced has no groups,
    and one excluded group named "model" with the reason.
    """
    try:
        pruner = ChannelPruner(build_model(), inputs)
    except Exception as error:
        reason = f"cannot be traced ({one_line(error)})"
        return GroupSurvey((), (Excluded("model", reason),), ())
    candidates, excluded = _candidates(pruner, protected_layers)
    with _Verifier(pruner, random_samples(inputs) if samples is None else samples) as verifier:
        names, failed = _verified_together(candidates, verifier)
        branches, kept = _candidate_branches(pruner, protected_layers)
        removable, not_removable = _verified_together(branches, verifier, names)
    parameters = dict(pruner.model.named_parameters())
    groups = []
    for name in names:
        group = pruner.groups[name]
        members = tuple(dict.fromkeys(s.weight for s in group.slices if s.weight in parameters))
        inside = tuple(b for b in pruner.inside(name) if b in removable)
        width, unit = pruner.width(name), group.unit
        groups.append(PruningGroup(name, width, members, unit=unit, inside=inside))
    return GroupSurvey(
        tuple(groups),
        (*excluded, *failed),
        tuple(_restricted(layer, {*names, *removable}) for layer in pruner.layers),
        tuple(_branch_item(pruner, name, removable) for name in removable),
        (*kept, *not_removable),
    )


def _branch_item(pruner: ChannelPruner, name: str, removable: Sequence[str]) -> PruningGroup:
    branch, parameters = pruner.branches[name], dict(pruner.model.named_parameters())
    members = tuple(weight for weight in branch.weights if weight in parameters)
    inside = tuple(other for other in branch.inside if other in removable)
    return PruningGroup(name, 1, members, inside=inside, is_branch=True)


def _restricted(layer: Layer, names: Set[str]) -> Layer:
    """Return a layer with only the shares of these groups and branches."""
    outputs, inputs = (
        {name: share for name, share in side.items() if name in names}
        for side in (layer.outputs, layer.inputs)
    )
    branches = tuple(name for name in layer.branches if name in names)
    return replace(layer, outputs=outputs, inputs=inputs, branches=branches)


def list_groups(task: Task) -> GroupList:
    """Return the pruning groups of a task's model, with the shapes of each group's members."""
    shapes = {name: tuple(p.shape) for name, p in new_model(task).named_parameters()}
    survey = survey_groups(
        lambda: new_model(task), task.inputs, task.protected_layers, task_samples(task)
    )
    groups, branches = (
        tuple(
            GroupShapes(item, tuple((name, shapes[name]) for name in item.members))
            for item in items
        )
        for items in (survey.groups, survey.branches)
    )
    return GroupList(groups, survey.excluded, branches=branches, kept_branches=survey.kept_branches)
