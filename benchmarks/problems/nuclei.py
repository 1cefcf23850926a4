"""Segmentation: nuclei in fluorescence microscopy and a small U-Net."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import paddle
import paddle.nn.functional as F
import pandas as pd
from paddle import nn

from trainables.metrics import MeanIoU
from trainables.task import Batch, ModelInput, Split, TrainingRecipe
from trainables.weights import load_weights

CLASSES = 2
FRAMES = 10
SIDE = 48
# Columns of a frame, the same in every frame: cells move little from one to the next.
BANDS = {"train": (0, 288), "val": (288, 432), "test": (432, 576)}
DATA = Path(__file__).parent / "data" / "nuclei.parquet"
# Channels at 1/2, 1/4 and 1/8 of the resolution. Wide where the maps are small: with INT8 matrix
# units a convolution of 64 channels is no slower than one of 32.
WIDTHS = (32, 128, 192)


def read_frames() -> tuple[np.ndarray, np.ndarray]:
    """Return the stain and each pixel's nucleus number, both (10, 210, 576) uint16."""
    rows = pd.read_parquet(DATA)
    stain, nuclei = (
        [
            np.frombuffer(row[column], "<u2").reshape(row["height"], row["width"])
            for _, row in rows.iterrows()
        ]
        for column in ("stain", "nuclei")
    )
    return np.stack(stain), np.stack(nuclei)


def tiles(frames: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Return square tiles (n, side, side), evenly spread over each frame without overlap."""
    height, width = frames.shape[1:]
    tops = np.linspace(0, height - side, height // side).astype(int)
    lefts = np.linspace(0, width - side, width // side).astype(int)
    return np.concatenate([frames[:, t : t + side, s : s + side] for t in tops for s in lefts])


def convolution(
    inputs: int, outputs: int, kernel: int = 3, stride: int = 1
) -> tuple[nn.Conv2D, nn.BatchNorm2D]:
    """Return a convolution that keeps or divides the resolution, and its normalisation."""
    return (
        nn.Conv2D(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias_attr=False),
        nn.BatchNorm2D(outputs),
    )


class UNet(nn.Layer):
    """Class scores, shape (n, 2, h, w), of images (n, 1, h, w); h and w divisible by 8.

    A U-Net (Ronneberger et al., MICCAI 2015) whose skips are added, as in LinkNet
    (Chaurasia and Culurciello, 2017). They are not concatenated, because after quantization-aware
    training oneDNN "could not create a primitive descriptor for a concat primitive".

    The first convolution halves the resolution, and the last one has the scores of four pixels as
    channels (Shi et al., CVPR 2016): on full-size maps memory traffic would hide the arithmetic.
    """

    def __init__(self, widths: tuple[int, int, int] = WIDTHS) -> None:
        super().__init__()
        high, middle, low = widths
        self.half = nn.Sequential(*convolution(1, high, stride=2), nn.ReLU())
        self.down1 = nn.Sequential(*convolution(high, middle, stride=2), nn.ReLU())
        self.quarter = nn.Sequential(*convolution(middle, middle), nn.ReLU())
        self.down2 = nn.Sequential(*convolution(middle, low, stride=2), nn.ReLU())
        self.bottom = nn.Sequential(*convolution(low, low), nn.ReLU())
        self.up1 = nn.Sequential(*convolution(low, middle, kernel=1))
        self.join1 = nn.Sequential(*convolution(middle, middle), nn.ReLU())
        self.up2 = nn.Sequential(*convolution(middle, high, kernel=1))
        self.join2 = nn.Sequential(*convolution(high, high), nn.ReLU())
        self.head = nn.Conv2D(high, 4 * CLASSES, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        half = self.half(x)
        quarter = self.quarter(self.down1(half))
        y = self.bottom(self.down2(quarter))
        y = F.interpolate(y, scale_factor=2, mode="nearest")
        y = self.join1(F.relu(self.up1(y) + quarter))
        y = F.interpolate(y, scale_factor=2, mode="nearest")
        y = self.join2(F.relu(self.up2(y) + half))
        return F.pixel_shuffle(self.head(y), 2)


class Nuclei:
    """Background and nuclei in 48x48 tiles: 240 for training, 120 each for validation and test.

    Training tiles are drawn anywhere in the training band, and flipped at random.
    """

    name = "nuclei"
    metric = MeanIoU(CLASSES)
    recipe = TrainingRecipe(batch_size=8, learning_rate=0.02)
    protected_layers: tuple[str, ...] = ()
    inputs = (ModelInput(name="stain", shape=(1, SIDE, SIDE), mean=(605.0,), std=(220.0,)),)

    def __init__(self, weights: str | None = None) -> None:
        self.weights = weights

    @cached_property
    def bands(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Normalised frames (10, 210, w) float32 and masks int64 of the same shape, by split."""
        stain, nuclei = read_frames()
        spec = self.inputs[0]
        images = ((stain * spec.scale - spec.mean[0]) / spec.std[0]).astype("float32")
        masks = (nuclei > 0).astype("int64")
        return {
            split: (images[:, :, start:end], masks[:, :, start:end])
            for split, (start, end) in BANDS.items()
        }

    def build_model(self) -> nn.Layer:
        model = UNet()
        if self.weights is not None:
            load_weights(model, Path(self.weights))
        return model

    def train_batches(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """Yield random tiles, as many as cover the band once."""
        images, masks = self.bands["train"]
        frames, height, width = images.shape
        rng = np.random.default_rng(seed)
        samples = len(tiles(masks))
        for _ in range(samples // batch_size):
            corners = rng.integers(
                0, (frames, height - SIDE + 1, width - SIDE + 1), (batch_size, 3)
            )
            flips = 1 - 2 * rng.integers(0, 2, (batch_size, 2))
            batch = np.empty((batch_size, 1, SIDE, SIDE), "float32")
            targets = np.empty((batch_size, SIDE, SIDE), "int64")
            for i, ((frame, top, left), (down, right)) in enumerate(
                zip(corners, flips, strict=True)
            ):
                window = (frame, slice(top, top + SIDE), slice(left, left + SIDE))
                batch[i, 0] = images[window][::down, ::right]
                targets[i] = masks[window][::down, ::right]
            yield Batch((batch,), targets)

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        images, masks = (tiles(frames) for frames in self.bands[split])
        for start in range(0, len(images), batch_size):
            part = slice(start, start + batch_size)
            yield Batch((images[part, None],), masks[part])

    def loss(self, outputs: paddle.Tensor, targets: paddle.Tensor) -> paddle.Tensor:
        return F.cross_entropy(outputs, targets, axis=1)


def make_task(weights: str | None = None) -> Nuclei:
    """Return the task; `weights` names the file that `baselines` wrote."""
    return Nuclei(weights)
