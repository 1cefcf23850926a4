"""Training from random weights on drawn data, until clearly better than chance."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.sweep.named.files import Learning

# Evaluations during one training. A guess: each builds the model again.
EVALUATIONS = 8
# Images of a batch in them. A guess.
BATCH = 8


@dataclass(frozen=True)
class Learned:
    """The result of a training on validation."""

    metric_name: str
    metric: float
    chance: float | None
    """The metric of a model that ignores its inputs; None if it is undefined for such a model."""
    steps: int
    seconds: float
    reached: bool
    """Whether the goal was reached, or time or steps ended first."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def thaw(model: Any) -> None:
    """Make batch norms and first stages trainable that a configuration freezes."""
    from paddle import nn

    for layer in model.sublayers(include_self=True):
        if isinstance(layer, nn.BatchNorm2D):
            layer._use_global_stats = None
        for name, parameter in layer._parameters.items():
            # The running mean and variance are parameters too.
            if parameter is not None and name not in ("_mean", "_variance"):
                parameter.stop_gradient = False
                parameter.optimize_attr["learning_rate"] = 1.0


def judge(task: Any) -> tuple[float, float | None]:
    """Return the metric of a task's weights on validation, in Paddle, and that of chance."""
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
    """Set a model's arrays that a weight file has in name and shape; return their number."""
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
    # Some networks name their parameters, and names must be unique in a process.
    with paddle.utils.unique_name.guard("learned_"):
        if isinstance(loaded, TrunkTask):
            task = WholeTask(loaded)
            trained, model = task.detector, WholeDetector(task.detector)
            thaw(trained)
        else:
            trained = model = loaded.build_untrained()
    if begin is not None:
        print(f"begins with {begin_with(trained, begin)} arrays of {begin}")
    trainer = Trainer(
        model,
        task,
        steps=learning.steps,
        learning_rate=learning.rate,
        batch_size=learning.batch,
        seed=0,
    )
    interval = learning.steps // EVALUATIONS
    while True:
        loss = trainer.run(interval)
        write_weights(Path(options["weights"]), model_weights(trained))
        # Loaded as in a search: the heads of a detector come from the file.
        metric, chance = judge(load_task(spec, options))
        least = chance or 0.0
        reached = metric >= least + learning.goal * (1 - least)
        seconds = time.monotonic() - start
        print(f"step {trainer.step}: {loss:.3f}, {metric:.3f} ({seconds:.0f} s)", flush=True)
        if reached or seconds > limit_s or trainer.step + interval > learning.steps:
            name = loaded.metric.name
            return Learned(name, metric, chance, trainer.step, round(seconds, 1), reached)
