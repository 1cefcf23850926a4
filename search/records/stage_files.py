"""The JSON files of a run folder and the type in each. A damaged file is named in one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError, with_config

from search.records.faults import first_fault
from spaces.errors import RunFolderError, short, shown
from spaces.mixing import Int8Costs
from trainables.files.codec import PlanField, decode
from trainables.results import (
    FILE,
    Baseline,
    Count,
    EngineTime,
    FinalFigures,
    Positive,
    Reference,
    RetrainFigures,
    Untimed,
)
from trainables.settings import retrained_name

Curves = dict[str, list[tuple[float, float]]]
"""By group: (ratio, relative loss) where that group alone is pruned, ratios ascending."""
References = list[Reference | Untimed]
Timings = list[tuple[PlanField, Positive]]
"""Plans and their latency ratios."""


@with_config(FILE)
@dataclass(frozen=True, kw_only=True)
class Retrained(RetrainFigures):
    """A trial's candidate after its training in full."""

    trial: int
    accepted: bool | None = None
    """Whether it is within the budget; None before that is checked."""
    margin: float | None = None
    """How far below the budget its loss has to be."""
    model: str | None = None
    """The folder of its export in the run, if that is a trial's; None: the retrain's own."""

    @property
    def folder(self) -> str:
        """The folder of its export in the run."""
        return self.model or retrained_name(self.trial)


@with_config(FILE)
@dataclass(frozen=True)
class FailedRetrain:
    """A trial's candidate whose training in full failed."""

    trial: int
    failed: str
    """The reason."""


@with_config(FILE)
@dataclass(frozen=True, kw_only=True)
class Winner(Retrained):
    """The candidate that is delivered."""

    plan: PlanField
    tried: tuple[Retrained, ...]
    """All that were retrained, in that order, the winner last."""


@with_config(FILE)
@dataclass(frozen=True)
class Survey:
    """What is measured before the search of a run with a deadline: the settings of these names."""

    sensitivity_points: Count
    sensitivity_share: Positive
    latency_points: Count
    branches: bool = True


@with_config(FILE)
@dataclass(frozen=True)
class Fitted:
    """The search that fits into the time of a run with a deadline. Its settings are the run's own
    from then on, so that levels stay the same in a resumed run."""

    plans: int
    """Expected number of plans."""
    finetune_samples: Count
    qat_samples: Count
    retrain_samples: Count
    retrain_qat_samples: Count
    finalists: int | None = None
    """None in a run of an older version: that of its settings."""


# Type of what each stage leaves, by the last part of its name.
STAGES: dict[str, Any] = {
    "format": int,
    "seconds": dict[str, float],
    "gave_up": str,
    "inputs": dict[str, str],
    "engines": list[EngineTime],
    "baseline": Baseline,
    "survey": Survey,
    "sensitivity": Curves,
    "references": References,
    "latency": Timings,
    "layers": Int8Costs,
    "within": Fitted,
    "retrain": Winner,
    "final": FinalFigures,
}


def stage_kind(name: str) -> Any:
    """Return the type of what a stage leaves, Any for an unknown stage."""
    last = name.rpartition("/")[2]
    # Each candidate's retrain is a stage, named with its number.
    return Retrained | FailedRetrain if last.startswith("retrain-") else STAGES.get(last, Any)


def _damaged(path: Path, what: str) -> NoReturn:
    raise RunFolderError(
        f"file {path} is damaged ({short(what, 100)}); restore it, or give the search another "
        "folder with --out"
    )


def read_json(path: Path, kind: Any) -> Any:
    """Return the value in a JSON file. Raises RunFolderError, naming it, if it is damaged."""
    try:
        return decode(kind, path.read_bytes())
    except ValidationError as error:
        fault = first_fault(error)
        _damaged(path, f"{fault.name} {shown(fault.given, 30)}: {fault.message}")
    except (ValueError, RecursionError) as error:
        _damaged(path, f"no JSON: {error}")
    except OSError as error:
        raise RunFolderError(f"file {path} cannot be read ({error.strerror}); repair it") from error


def check_stages(path: Path, stages: Mapping[str, Any]) -> None:
    """Raise RunFolderError if the stages name different pruning groups."""
    baseline: Baseline | None = stages.get("baseline")
    if baseline is None:
        return
    known = {group.name for group in baseline.groups}
    branches = {branch.name for branch in baseline.branches}
    sides = [side for layer in baseline.layers for side in (layer.outputs, layer.inputs)]
    references: References = stages.get("references") or []
    timings: Timings = stages.get("latency") or []
    plans = [item.plan for item in references] + [plan for plan, _ in timings]
    named = {
        "its layers": {group for side in sides for group in side} | known,
        "sensitivity": set(stages.get("sensitivity") or known),
        "references and latency": {group for plan in plans for group, _ in plan.ratios} | known,
    }
    for stage, names in named.items():
        if names - branches != known:
            other = shown(sorted((names - branches) ^ known)[0])
            _damaged(path, f"{other} is a group of baseline or of {stage}, not of both")
