"""Weights from nothing on drawn data, until they do clearly better than chance."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.sweep.named.files import Learning

# Evaluations in one training: each builds the model once more.
STRETCHES = 8
BATCH = 8


@dataclass(frozen=True)
class Learned:
    """What a training reached on validation."""

    metric_name: str
    metric: float
    chance: float | None
    """What a model gets that ignores its inputs; None: the metric cannot judge such a one."""
    steps: int
    seconds: float
    reached: bool
    """Whether the goal was reached, or time or steps ended first."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def thaw(model: Any) -> None:
    """Have batch norms and first stages trained that a configuration freezes for a fine-tuning."""
    from paddle import nn

    for layer in model.sublayers(include_self=True):
        if isinstance(layer, nn.BatchNorm2D):
            layer._use_global_stats = None
        for name, parameter in layer._parameters.items():
            # The running mean and deviation are parameters too.
            if parameter is not None and name not in ("_mean", "_variance"):
                parameter.stop_gradient = False
                parameter.optimize_attr["learning_rate"] = 1.0


def judge(task: Any) -> tuple[float, float | None]:
    """Return the metric of a task's weights on validation, in the framework, and that of chance."""
    from trainables.evaluation import eager, evaluate
    from trainables.metrics import metric_value
    from trainables.models import new_model
    from trainables.sanity import FirstPass, compare_with_chance

    first_pass = FirstPass()
    statistics = evaluate(eager(new_model(task)), task, "val", BATCH, observe=first_pass)
    constant = first_pass.constant_statistics(task, "val", BATCH)
    chance = None if constant is None else compare_with_chance(task, statistics, constant)
    return metric_value(task.metric, statistics), None if chance is None else chance.metric


def begin_with(model: Any, file: Path) -> int:
    """Give a model what it has alike with the weights of another; return how many arrays."""
    from trainables.weights import model_weights, read_weights, set_weights

    own, known = model_weights(model), read_weights(file)
    alike = {
        name: array
        for name, array in known.items()
        if name in own and own[name].shape == array.shape
    }
    set_weights(model, {**own, **alike})
    return len(alike)


def learn(
    spec: str,
    options: Mapping[str, Any],
    learning: Learning,
    limit_s: float,
    begin: Path | None = None,
) -> Learned:
    """Train until the goal is reached, or time is up; the weights lie where the options say.

    `begin` names weights that were learned in the same way for another file.
    """
    import paddle

    from benchmarks.models.whole import WholeDetector, WholeTask
    from trainables.loading import load_task
    from trainables.tasks.paddledetection.rcnn import TrunkTask
    from trainables.training import Trainer
    from trainables.weights import model_weights, write_weights

    start = time.monotonic()
    paddle.seed(0)
    loaded: Any = load_task(spec, options)
    task = loaded
    # Some networks name their parameters themselves, and no two of a process may be alike.
    with paddle.utils.unique_name.guard("learned_"):
        if isinstance(loaded, TrunkTask):
            task = WholeTask(loaded)
            weighed, model = task.detector, WholeDetector(task.detector)
            thaw(weighed)
        else:
            weighed = model = loaded.build_untrained()
    if begin is not None:
        print(f"begins with {begin_with(weighed, begin)} arrays of {begin}")
    trainer = Trainer(
        model,
        task,
        steps=learning.steps,
        learning_rate=learning.rate,
        batch_size=learning.batch,
        seed=0,
    )
    stretch = learning.steps // STRETCHES
    while True:
        loss = trainer.run(stretch)
        write_weights(Path(options["weights"]), model_weights(weighed))
        # Loaded as a search does it: the heads of a detector come from the file.
        metric, chance = judge(load_task(spec, options))
        least = chance or 0.0
        reached = metric >= least + learning.goal * (1 - least)
        seconds = time.monotonic() - start
        print(f"step {trainer.step}: {loss:.3f}, {metric:.3f} ({seconds:.0f} s)", flush=True)
        if reached or seconds > limit_s or trainer.step + stretch > learning.steps:
            name = loaded.metric.name
            return Learned(name, metric, chance, trainer.step, round(seconds, 1), reached)
