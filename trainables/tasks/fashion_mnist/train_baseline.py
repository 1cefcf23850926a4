"""Train the built-in baseline and write its weights to the file that the task reads.

    python -m trainables.tasks.fashion_mnist.train_baseline [EPOCHS] [FILE]

20 epochs by default, about 15 minutes on one core.
"""

import sys
import time
from pathlib import Path

import numpy as np
import paddle

from trainables.evaluation import predict
from trainables.tasks.fashion_mnist.network import ResidualNetwork
from trainables.tasks.fashion_mnist.task import DATA, FashionMnist
from trainables.training import Trainer, as_tensors
from trainables.weights import model_weights, write_weights

SEED = 0
# (LOG: the built-in network)
BATCH_SIZE = 128
# Peak of the schedule (LOG: the built-in network).
LEARNING_RATE = 0.1


def accuracy(model: paddle.nn.Layer, task: FashionMnist) -> float:
    """Return the accuracy on the validation split; the test split is not read."""
    statistics = []
    for batch in task.eval_batches("val", 250):
        outputs = predict(model, as_tensors(batch)[0])
        statistics.append(task.metric.sample_statistics(outputs, batch.targets))
    return task.metric.aggregate(np.concatenate(statistics))


def main() -> None:
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else DATA / "baseline.safetensors"
    paddle.seed(SEED)
    task, model = FashionMnist(), ResidualNetwork()
    per_epoch = sum(1 for _ in task.train_batches(BATCH_SIZE, SEED))
    trainer = Trainer(
        model,
        task,
        steps=epochs * per_epoch,
        learning_rate=LEARNING_RATE,
        batch_size=BATCH_SIZE,
        seed=SEED,
    )
    started = time.monotonic()
    for epoch in range(epochs):
        loss = trainer.run(per_epoch)
        print(
            f"epoch {epoch + 1}/{epochs} loss {loss:.4f} val {accuracy(model, task):.4f} "
            f"{time.monotonic() - started:.0f} s",
            flush=True,
        )
    write_weights(target, model_weights(model))
    print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
