"""One configuration file through its stages: draw its data, load, build, find groups, one trial."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.sweep import drawing
from benchmarks.sweep.reading import read
from spaces.errors import SearchError, one_line

if TYPE_CHECKING:
    from trainables.compression.graph.groups import GroupSurvey
    from trainables.task import Task

STAGES = ("load", "build", "groups", "trial")
# The trial's ratio in all groups. A guess.
RATIO = 0.3
# Channels are rounded up to a multiple of this: the default of `alignment`.
ALIGNMENT = 8
# Images of a batch, and training steps of the trial: the smallest that train batch norms.
BATCH, STEPS = 2, 2


@dataclass(frozen=True)
class Toolkit:
    """A toolkit's files, its task, and the data that they are tried on."""

    task: str
    files: Sequence[str]
    """Patterns of its configuration files within a checkout."""
    draw: Callable[..., None]
    network: Sequence[str]
    """Keys that lead to the network's name in a configuration."""
    options: dict[str, Any] = field(default_factory=dict)


# Small inputs where a network takes any size: the outcome does not depend on the size.
TOOLKITS = {
    "PaddleClas": Toolkit(
        "paddleclas", ["ppcls/configs/**/*.yaml"], drawing.classification, ("Arch", "name")
    ),
    "PaddleSeg": Toolkit(
        "paddleseg",
        ["configs/**/*.yml"],
        drawing.segmentation,
        ("model", "type"),
        {"image_size": 128},
    ),
    "PaddleDetection": Toolkit(
        "paddledetection",
        ["configs/**/*.yml"],
        drawing.detection,
        ("architecture",),
        {"image_size": 128},
    ),
    "PaddleOCR": Toolkit(
        "paddleocr",
        ["configs/det/**/*.yml"],
        drawing.text,
        ("Architecture", "algorithm"),
        {"image_size": [128, 128]},
    ),
}


@dataclass(frozen=True)
class Row:
    """The outcome of one file."""

    toolkit: str
    file: str
    network: str | None = None
    reached: str | None = None
    """The last stage that it passed."""
    refused: str | None = None
    """The reason, if the program refused it."""
    failed: str | None = None
    """The exception, if it is no refusal but a fault of the program."""
    groups: int | None = None
    branches: int | None = None
    """Branches that can be taken out; None in a row that is older than their removal."""
    excluded: dict[str, int] = field(default_factory=dict)
    """Numbers of excluded groups by reason."""
    export_difference: float | None = None
    """Largest difference between the trial's export and its model, as a share of their spread."""
    int8: str | None = None
    """Why the trial's model does not run in INT8; empty if it runs."""
    like: str | None = None
    """The file of the same network whose groups and trial these are; None if they are its own."""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def build(task: Any, weights: Path) -> None:
    """Write random weights for the task's network, with its heads."""
    from trainables.weights import model_weights, write_weights

    whole = task.detector() if hasattr(task, "detector") else task.build_untrained()
    write_weights(weights, model_weights(whole))


def survey(task: Task) -> GroupSurvey:
    from trainables.compression.graph.groups import survey_groups
    from trainables.models import new_model

    return survey_groups(lambda: new_model(task), task.inputs, task.protected_layers)


def trial(task: Task, found: GroupSurvey, settings: Any) -> tuple[float, str]:
    """Return the export's difference and why INT8 fails, for a plan with RATIO in all groups.

    Raises what pruning, training, exporting or evaluating it raises.
    """
    from spaces.heuristics import uniform
    from spaces.plan import QuantizationChoice
    from spaces.space import Space
    from trainables.compression.pruning import pruned_model
    from trainables.compression.quantization import export_candidate
    from trainables.evaluation import evaluate
    from trainables.training import Trainer

    space = Space(found.groups, (QuantizationChoice.FLOAT,), ALIGNMENT, 0.9)
    model = pruned_model(task, uniform(space, RATIO, QuantizationChoice.FLOAT))
    rate = 0.1 * task.recipe.learning_rate
    Trainer(model, task, steps=STEPS, learning_rate=rate, batch_size=BATCH, seed=0).run(STEPS)
    engine, difference = export_candidate(
        model, QuantizationChoice.FLOAT, None, task, settings, Path("trial")
    )
    task.metric.aggregate(evaluate(engine.run, task, "val", BATCH))
    try:
        export_candidate(model, QuantizationChoice.INT8_PTQ, None, task, settings, Path("int8"))
    except Exception as error:  # Paddle raises every kind.
        return difference, one_line(error)
    return difference, ""


def network_name(config: dict[str, Any], keys: Sequence[str]) -> str | None:
    found: Any = config
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return str(found) if found is not None else None


def run_file(
    toolkit: str, file: Path, name: str, until: str, report: Callable[[Row], None]
) -> None:
    """Report a row after every stage; the last one is the outcome. Writes to the current folder."""
    start = time.monotonic()
    kind = TOOLKITS[toolkit]
    row = Row(toolkit, name)

    def note(**changes: Any) -> None:
        nonlocal row
        row = replace(row, **changes, seconds=round(time.monotonic() - start, 1))
        report(row)

    try:
        config = read(file)
        note(network=network_name(config, kind.network))
        with suppress(drawing.OutsideError):  # Nothing is drawn there: its data is missing.
            kind.draw(config)
        from trainables.loading import load_task
        from trainables.settings import TrialSettings

        options = {"config_file": str(file), "weights": "weights.safetensors", **kind.options}
        task = load_task(kind.task, options)
        note(reached="load")
        wanted = STAGES[1 : STAGES.index(until) + 1]
        if "build" in wanted:
            build(task, Path(options["weights"]))
            note(reached="build")
        if "groups" in wanted:
            found = survey(task)
            reasons = Counter(item.reason[:120] for item in found.excluded)
            counts = {"groups": len(found.groups), "branches": len(found.branches)}
            note(reached="groups", **counts, excluded=dict(reasons))
        if "trial" in wanted and found.groups:
            settings = TrialSettings(
                task=kind.task,
                run_folder=str(Path.cwd()),
                cache_folder=str(Path.cwd()),
                batch_size=BATCH,
                calibration_samples=2 * BATCH,
                eval_batch=BATCH,
                latency_batch=1,
            )
            difference, int8 = trial(task, found, settings)
            note(reached="trial", export_difference=difference, int8=int8)
    except Exception as error:
        # An unexpected exception of a task's code is wrapped as "... fails with"; it is no refusal.
        refused = isinstance(error, SearchError) and "() fails with" not in str(error)
        said = str(error) if isinstance(error, SearchError) else one_line(error)
        note(**{"refused" if refused else "failed": said.replace(str(file), name)})
