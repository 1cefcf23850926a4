"""The configuration of a study: every setting, its bounds and what it means."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

import clusters
from search.records.faults import first_fault
from search.schedule.durations import Duration
from spaces.errors import VALUE, ConfigError, did_you_mean, short, shown
from spaces.goal import Quantity
from spaces.plan import QuantizationChoice
from trainables.files.yaml_reader import YamlError, read_yaml
from trainables.settings import WorkerSettings

PROFILES = Path(clusters.__file__).parent
# Plans of a search, unless the user gives the number.
PLANS = 24
# Most plans of a run with a deadline, unless the user gives the number. A guess.
MOST_PLANS = 96


class RunConfig(WorkerSettings):
    """The settings of one study; only `budget` has no default.

    The settings that workers need are inherited from WorkerSettings.
    """

    budget: float = Field(ge=0, lt=1)
    """Relative loss of the metric that the delivered model may show, 0 to below 1."""
    ship: list[str] = Field(default=["weights"])
    """Task options whose files or folders are uploaded to the storage.
    Each node downloads them once; name `data` too unless all nodes have it."""

    within: Duration | None = None
    """Time for the whole run, from the command to the delivered model: 90s, 30m, 1h30m.
    The number of plans and their training are chosen to fit."""
    trials: int = Field(default=PLANS, ge=1)
    """How many plans are tried. With `within` it is the most, and 96 by default."""
    concurrency: int | None = Field(default=None, ge=1)
    """Trials at a time; by default as many as the cluster has room for when the search begins.
    With a higher number, trials wait for nodes that join later."""

    objective: Quantity = "latency"
    """What is minimized: `latency`, `size` (bytes of the exported files) or `multiply_adds`."""
    max_latency_ms: float | None = Field(default=None, gt=0)
    """Greatest latency of the delivered model, in milliseconds per run as the baseline is timed.
    By default there is no bound; the budget holds beside it."""
    max_size_bytes: int | None = Field(default=None, ge=1)
    """Greatest size of the delivered model's exported files; by default there is no bound."""

    sampler: Literal["knapsack", "layers"] = "knapsack"
    """Where plans come from. `knapsack`: a knapsack over predicted loss and latency, then Optuna
    where that has nothing untried. `layers`: Optuna alone, for every group's channels."""
    choices: list[QuantizationChoice] | None = Field(default=None, min_length=1)
    """Quantization choices to search; by default all that the engine supports on this machine."""
    layer_precision: bool = False
    """Whether plans may keep some layers in float beside INT8 (`int8_ptq`).
    What INT8 costs each layer is measured first, if INT8 throughout loses enough of the budget."""
    alignment: int = Field(default=8, ge=1)
    """Each group's number of channels stays a multiple of this."""
    max_ratio: float = Field(default=0.9, gt=0, lt=1)
    """Highest pruning ratio of a group."""
    branches: bool = True
    """Whether plans may take out whole branches: of a residual block, for example."""
    sensitivity_points: int = Field(default=6, ge=2)
    """Number of ratios at which each group's sensitivity is measured, evenly spread.
    A run with a deadline may measure fewer, and on a smaller sensitivity_share."""
    latency_points: int = Field(default=12, ge=4)
    """Number of untrained plans timed before the search, to predict the latency of all others."""

    max_latency_ratio: float = Field(default=1.25, gt=0)
    """Highest latency ratio of a trial; a slower one is stopped before it is trained.
    The default leaves a margin for noise: the unpruned model itself must never be stopped."""
    retrain_workers: int | None = Field(default=None, ge=1)
    """Data-parallel workers of the retrain; by default one per GPU, or one per core up to 2."""
    finalists: int = Field(default=3, ge=0)
    """Trainings in full whose compute is spent on the best plans after the last.
    With 0 only the retrain does that."""
    retrain_candidates: int = Field(default=3, ge=1)
    """Most candidates that are retrained, until one keeps the budget."""
    confidence_z: float = Field(default=1.64, ge=0)
    """Margin between the winner's loss on validation and the budget, in standard errors."""

    address: str | None = None
    """Address of a running Ray cluster, "auto" for this node's; by default a local one starts."""
    gpus_per_trial: float = Field(default=0, ge=0)
    """GPUs, or a fraction of one, that each trial takes."""
    memory_gb_per_trial: float | None = Field(default=None, gt=0)
    """Memory that each trial reserves on its node, in GB; by default only cores and GPUs count."""
    target_resource: str | None = None
    """A Ray resource of the nodes that models are timed on; by default all nodes are alike.
    Trials run only on those nodes, sensitivities and the retrain on any."""
    retries: int = Field(default=3, ge=0)
    """How often a trial is restarted after its worker or its node was lost."""
    trial_limit_s: float | None = Field(default=None, gt=0)
    """Seconds after which a trial counts as hung: it fails, and its worker is killed.
    By default ten times the longest finished trial, and at least 15 minutes."""
    runtime_env: dict[str, Any] = Field(default={})
    """Ray's runtime environment for the workers, such as {working_dir: .} to send this folder."""
    dashboard_host: str = "127.0.0.1"
    """Address that a local Ray's dashboard listens on.
    Any other than the default admits everyone who has the token."""
    trackers: list[Literal["tensorboard", "mlflow", "wandb"]] = Field(default=[])
    """Other tools that record the search. Their files are in the run folder, unless their own
    environment variables (MLFLOW_TRACKING_URI, WANDB_API_KEY) name a server."""

    out: str | None = None
    """The run folder; by default runs/<time>-<task>. With a storage, the run's name within it."""
    storage: str | None = None
    """Shared storage for runs on several nodes: a folder they all see, or a URI (s3, gs, hdfs)."""
    storage_patience_s: float = Field(default=3600.0, ge=0)
    """Seconds to wait for a storage that is full or cannot be reached."""
    cache: str | None = None
    """Folder of sensitivities and latencies that studies share; by default in the user's cache."""

    @model_validator(mode="before")
    @classmethod
    def _as_many_as_fit(cls, settings: Any) -> Any:
        """With a deadline the number of plans is bounded by time, unless it is given."""
        if isinstance(settings, dict) and settings.get("within") is not None:
            return {"trials": MOST_PLANS, **settings}
        return settings


# Settings of older versions: the configurations of their runs have them.
REMOVED = ("rungs",)


def of_older_version(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a run's configuration without those that this version lacks."""
    return {name: value for name, value in settings.items() if name not in REMOVED}


def unknown_setting(name: str) -> str:
    """Return the message for an unknown setting: the nearest name, and where all are listed."""
    nearest = did_you_mean(name, RunConfig.model_fields)
    return f"{name[:80]} is not a setting{nearest or ';'} python -m search.run --help lists them"


def _describe(error: ValidationError) -> str:
    """Return one line: the setting, its value, what is allowed."""
    fault = first_fault(error)
    name = short(fault.name, VALUE)
    if fault.kind == "extra_forbidden":
        return unknown_setting(name)
    if fault.kind == "missing":
        return f"{name} is missing; give it, for example --{name} 0.1"
    allowed = fault.message.replace("Input should be", "it should be")
    meaning = RunConfig.model_fields[fault.path[0]].description or ""
    advice = f"give another with -o {name}=VALUE" if len(fault.path) == 1 else "correct it"
    given = shown(fault.given)
    return f"{name} cannot be {given}: {allowed} ({meaning.split('.')[0]}); {advice}"


def parse_override(text: str) -> tuple[str, Any]:
    """Return key and value of "key=value"; the value is read as YAML."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"-o {shown(text)} is not key=value; write for example -o trials=40")
    try:
        return key.strip(), read_yaml(value)
    except YamlError as error:
        raise ConfigError(f"-o {shown(text)}: the value is not YAML ({error}); quote it") from error


def read_config_file(path: Path) -> dict[str, Any]:
    """Return the settings of a YAML file."""
    try:
        return parse_config(path.read_text(), path)
    except OSError as error:
        raise ConfigError(
            f"configuration {path}: {error.strerror}; name a readable YAML file"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"configuration {path}: not text; write key: value") from error


def parse_config(text: str, source: object) -> dict[str, Any]:
    """Return the settings of a YAML text; `source` names it in errors."""
    try:
        loaded = read_yaml(text)
    except YamlError as error:
        raise ConfigError(
            f"configuration {source}: not YAML ({error}); write key: value"
        ) from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"configuration {source}: a mapping of settings is expected")
    return loaded


def read_profile(name: str) -> dict[str, Any]:
    """Return the settings of a profile: one of this program, or a YAML file of the user.

    Raises ConfigError if there is no such profile.
    """
    known = {path.stem: path for path in PROFILES.glob("*.yaml")}
    path = known.get(name, Path(name))
    if not os.path.isfile(path):  # noqa: PTH113  (False, too, for a name that is too long)
        raise ConfigError(
            f"cluster {shown(name)}: no such profile; give one of {', '.join(sorted(known))}, or a "
            "YAML file of settings"
        )
    return read_config_file(path)


def changed(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """Return the configuration with other values; None changes nothing.

    Raises ConfigError, as `build_config`.
    """
    given = {name: value for name, value in values.items() if value is not None}
    return build_config(config.model_dump(mode="json"), [], given)


def build_config(
    file: Mapping[str, Any], overrides: Sequence[tuple[str, Any]], flags: Mapping[str, Any]
) -> RunConfig:
    """Return the configuration: the file, then overrides, then flags; the last one wins.

    Raises ConfigError for a setting that is unknown, missing or out of bounds.
    """
    # YAML reads a key like `on` as a boolean.
    settings = {str(key): value for key, value in {**file, **dict(overrides), **flags}.items()}
    try:
        return RunConfig.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(_describe(error)) from error
