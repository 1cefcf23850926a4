"""The form of the JSON files in a run folder, checked when one is read: a file that was damaged, or
is another version's, is named in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, NoReturn

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, with_config

# pydantic takes typing's own from Python 3.12 on alone.
from typing_extensions import NotRequired, TypedDict

from spaces.errors import RunFolderError, short, shown
from spaces.layers import Layer
from spaces.plan import QuantizationChoice

# Stages write what they like beyond what is read here.
OPEN = ConfigDict(extra="allow", allow_inf_nan=False)
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]


@with_config(OPEN)
class PlanFile(TypedDict):
    ratios: dict[str, Share]
    quantization: QuantizationChoice


@with_config(OPEN)
class GroupFile(TypedDict):
    name: str
    channels: Count
    members: list[str]
    unit: Count


@with_config(OPEN)
class ReasonFile(TypedDict):
    name: str
    reason: str


@with_config(OPEN)
class ChanceFile(TypedDict):
    metric: float
    reached: bool


@with_config(OPEN)
class BaselineFile(TypedDict):
    metric_name: str
    maximize: bool
    metric: float
    latency_ms: Positive
    size_bytes: Count
    groups: list[GroupFile]
    left_out: list[ReasonFile]
    layers: list[Layer]
    choices: list[QuantizationChoice]
    inputs: list[dict[str, Any]]
    train_s: float
    evaluate_s: float
    chance: NotRequired[ChanceFile | None]
    first_batch: NotRequired[str | None]


@with_config(OPEN)
class ReferenceFile(TypedDict):
    plan: PlanFile
    latency_ratio: NotRequired[Positive]
    reason: NotRequired[str]


@with_config(OPEN)
class RetrainedFile(TypedDict):
    trial: int
    metric: NotRequired[float]
    metric_loss: NotRequired[float]
    standard_error: NotRequired[float]
    plan: NotRequired[PlanFile]
    failed: NotRequired[str]


@with_config(OPEN)
class FinalFile(TypedDict):
    baseline_test: float
    winner_test: float
    metric_loss_test: float
    standard_error_test: float
    latency: dict[str, float]
    size_bytes: dict[str, Count]
    engine: str
    engine_config: dict[str, bool]


@with_config(OPEN)
class MetricPart(TypedDict):
    name: str
    baseline_val: float
    winner_val: float
    loss_val: float
    loss_val_standard_error: float
    baseline_test: float
    winner_test: float
    loss_test: float
    loss_test_standard_error: float
    within_budget_on_test: bool


@with_config(OPEN)
class LatencyPart(TypedDict):
    baseline: Positive
    winner: Positive
    ratio: Positive
    batch_size: Count
    threads: Count
    engine: str


@with_config(OPEN)
class SizePart(TypedDict):
    baseline: Count
    winner: Count


@with_config(OPEN)
class RetrainedPart(TypedDict):
    trial: int
    loss_val: float
    accepted: bool


@with_config(OPEN)
class ManifestFile(TypedDict):
    """What is read of a manifest again; `search.manifest.Manifest` is all of it."""

    metric: MetricPart
    latency_ms: LatencyPart
    size_bytes: SizePart
    sha256: NotRequired[dict[str, str]]
    retrained: NotRequired[list[RetrainedPart]]


PLAN_SHAPE: TypeAdapter[Any] = TypeAdapter(PlanFile)
MANIFEST_SHAPE: TypeAdapter[Any] = TypeAdapter(ManifestFile)
SHAPES: dict[str, TypeAdapter[Any]] = {
    "format": TypeAdapter(int),
    "seconds": TypeAdapter(dict[str, float]),
    "gave_up": TypeAdapter(str),
    "inputs": TypeAdapter(dict[str, str]),
    "baseline": TypeAdapter(BaselineFile),
    "sensitivity": TypeAdapter(dict[str, list[tuple[float, float]]]),
    "references": TypeAdapter(list[ReferenceFile]),
    "latency": TypeAdapter(list[tuple[PlanFile, Positive]]),
    "final": TypeAdapter(FinalFile),
}
_RETRAINED: TypeAdapter[Any] = TypeAdapter(RetrainedFile)
_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)


def stage_shape(name: str) -> TypeAdapter[Any]:
    """Return the form of what a stage leaves; of one that is not known here, any."""
    last = name.rpartition("/")[2]
    return _RETRAINED if last.startswith("retrain") else SHAPES.get(last, _ANYTHING)


def _damaged(path: Path, what: str) -> NoReturn:
    raise RunFolderError(
        f"file {path} is damaged ({short(what, 100)}); restore it, or give the search another "
        "folder with --out"
    )


def read_json(path: Path, shape: TypeAdapter[Any]) -> Any:
    """Return what a JSON file holds. Raises RunFolderError, naming it, if it has another form."""
    try:
        value = json.loads(path.read_bytes())
        shape.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        _damaged(path, f"{place} {shown(first['input'], 30)}: {first['msg']}")
    except (ValueError, RecursionError) as error:
        _damaged(path, f"no JSON: {error}")
    except OSError as error:
        raise RunFolderError(f"file {path} cannot be read ({error.strerror}); mend it") from error
    return value


def check_stages(path: Path, stages: dict[str, Any]) -> None:
    """Raise RunFolderError if what stages left, each in its form, does not go together."""
    baseline = stages.get("baseline")
    if baseline is None:
        return
    known = {group["name"] for group in baseline["groups"]}
    sides = [side for layer in baseline["layers"] for side in (layer["outputs"], layer["inputs"])]
    plans = [row["plan"] for row in stages.get("references") or ()]
    plans += [plan for plan, _ in stages.get("latency") or ()]
    named = {
        "its layers": {group for side in sides for group in side} | known,
        "sensitivity": set(stages.get("sensitivity") or known),
        "references and latency": {group for plan in plans for group in plan["ratios"]} | known,
    }
    for stage, names in named.items():
        if names != known:
            other = shown(sorted(names ^ known)[0])
            _damaged(path, f"{other} is a group of baseline or of {stage}, not of both")
