"""Train a benchmark problem's baseline from random weights and write them.

python -m benchmarks.problems.baselines digits FILE
"""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

# Before paddle is imported: with one thread the weights do not depend on the number of cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import trainables  # noqa: F401, I001  (sets paddle's flag before paddle is imported)
import paddle

from trainables.evaluation import eager, evaluate
from trainables.loading import load_task
from trainables.training import Trainer
from trainables.weights import model_weights, write_weights

SEED = 0
EVAL_BATCH = 250


@dataclass(frozen=True)
class Training:
    """A baseline's training: longer and at a higher peak learning rate than a fine-tuning."""

    steps: int
    batch_size: int
    learning_rate: float


TRAININGS = {
    "digits": Training(steps=400, batch_size=64, learning_rate=0.1),
    "nuclei": Training(steps=400, batch_size=16, learning_rate=0.1),
}


def train_baseline(task_name: str, file: Path) -> float:
    """Train with a fixed seed, write the weights to `file`, return the metric on validation.

    Runs with one thread write equal weights.
    """
    training = TRAININGS[task_name]
    paddle.seed(SEED)
    task = load_task(f"benchmarks.problems.{task_name}:make_task")
    model = task.build_model()
    started = time.monotonic()
    Trainer(
        model,
        task,
        steps=training.steps,
        learning_rate=training.learning_rate,
        batch_size=training.batch_size,
        seed=SEED,
    ).run(training.steps)
    seconds = time.monotonic() - started
    metric = task.metric.aggregate(evaluate(eager(model), task, "val", EVAL_BATCH))
    write_weights(file, model_weights(model))
    print(f"{task_name}: {seconds:.0f} s, {task.metric.name} {metric:.4f} on val", flush=True)
    return metric


if __name__ == "__main__":
    train_baseline(sys.argv[1], Path(sys.argv[2]))
