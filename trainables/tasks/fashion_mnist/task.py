"""The built-in task, and an example for a user's own: it meets every demand of the contract."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from spaces.errors import TaskError
from trainables.metrics import TopOneAccuracy
from trainables.task import Batch, ModelInput, Split, TrainingRecipe

if TYPE_CHECKING:
    import paddle

DATA = Path(__file__).parent / "data"
SIDE = 28
# Largest random shift in training, in pixels. A guess.
SHIFT = 2


class FashionMnist:
    """10 kinds of clothing, 28x28 grey: 10,000 training, 2,000 validation, 2,000 test images."""

    name = "fashion_mnist"
    metric = TopOneAccuracy()
    recipe = TrainingRecipe(batch_size=32, learning_rate=0.015, weight_decay=5e-4)
    protected_layers: tuple[str, ...] = ()
    inputs = (
        ModelInput(
            name="image", shape=(1, SIDE, SIDE), scale=1 / 255, mean=(0.2860,), std=(0.3530,)
        ),
    )

    def __init__(self, weights: str | None = None) -> None:
        self.weights = Path(weights) if weights else DATA / "baseline.safetensors"

    @cached_property
    def _splits(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Normalized images (n, 1, 28, 28) float32 and labels (n, 1) int64, by split."""
        path = DATA / "fashion_mnist.parquet"
        if not path.is_file():
            raise TaskError(f"{path} is missing; restore it from the repository")
        frame = pd.read_parquet(path)
        spec = self.inputs[0]
        splits = {}
        for split, rows in frame.groupby("split"):
            pixels = np.frombuffer(b"".join(rows["image"]), np.uint8)
            images = pixels.reshape(-1, *spec.shape).astype("float32") * np.float32(spec.scale)
            images = (images - np.float32(spec.mean[0])) / np.float32(spec.std[0])
            labels = rows["label"].to_numpy("int64").reshape(-1, 1)
            splits[str(split)] = (images, labels)
        return splits

    def build_model(self) -> paddle.nn.Layer:
        from trainables.tasks.fashion_mnist.network import ResidualNetwork
        from trainables.weights import load_weights

        model = ResidualNetwork()
        load_weights(model, self.weights)
        return model

    def train_batches(self, batch_size: int, seed: int) -> Iterator[Batch]:
        images, labels = self._splits["train"]
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(images))
        background = images.min()
        for start in range(0, len(order) - batch_size + 1, batch_size):
            index = order[start : start + batch_size]
            batch = images[index]
            flipped = rng.random(batch_size) < 0.5
            batch[flipped] = batch[flipped, :, :, ::-1]
            padded = np.pad(
                batch, ((0, 0), (0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT)), constant_values=background
            )
            for i, (top, left) in enumerate(rng.integers(0, 2 * SHIFT + 1, (batch_size, 2))):
                batch[i] = padded[i, :, top : top + SIDE, left : left + SIDE]
            yield Batch((batch,), labels[index])

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        images, labels = self._splits[split]
        for start in range(0, len(images), batch_size):
            yield Batch((images[start : start + batch_size],), labels[start : start + batch_size])

    def loss(self, outputs: paddle.Tensor, targets: paddle.Tensor) -> paddle.Tensor:
        import paddle.nn.functional as F

        return F.cross_entropy(outputs, targets)


def make_task(weights: str | None = None) -> FashionMnist:
    """Return the task; `weights` names another file for the baseline's weights."""
    return FashionMnist(weights)
