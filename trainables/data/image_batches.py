"""Batches of images with a class each: their middles, or for training parts chosen at random."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from trainables.data.classification import LabelledImage
from trainables.data.images import READERS, Pixels, normalized, read_image
from trainables.task import Batch, ModelInput, Split


@dataclass(frozen=True)
class Preprocessing:
    """What becomes of an image before a classifier sees it."""

    size: tuple[int, int]
    """Height and width of what the network is given, in pixels."""
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)
    """ImageNet's, which nearly all published weights were trained with."""
    shorter_side: int | None = None
    """What an image is resized to before its middle is cut out; None: whole, to `size`."""
    shares: tuple[float, float] | None = (0.25, 1.0)
    """Least and greatest share of an image's area that a training crop shows (Szegedy et al.,
    2015); None: what is evaluated."""
    aspects: tuple[float, float] = (3 / 4, 4 / 3)
    """Of such a crop, least and greatest: its width by its height before it is resized."""
    mirrors: bool = True

    @property
    def input(self) -> ModelInput:
        return ModelInput("image", (3, *self.size), scale=1 / 255, mean=self.mean, std=self.std)

    def normalized(self, pixels: Pixels) -> np.ndarray:
        return normalized(pixels, self.mean, self.std)

    def middle(self, pixels: Pixels) -> Pixels:
        """Return what is evaluated of an image, shape (height, width, 3)."""
        if self.shorter_side is None:
            return _resized(pixels, self.size)
        high, wide = self.size
        scale = self.shorter_side / min(pixels.shape[:2])
        height, width = (round(side * scale) for side in pixels.shape[:2])
        resized = _resized(pixels, (max(high, height), max(wide, width)))
        top, left = (resized.shape[0] - high) // 2, (resized.shape[1] - wide) // 2
        return resized[top : top + high, left : left + wide]

    def part(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        """Return a part of an image for training, shape (height, width, 3), mirrored or not."""
        shown = self.middle(pixels) if self.shares is None else self._crop(pixels, rng)
        return shown[:, ::-1] if self.mirrors and rng.random() < 0.5 else shown

    def _crop(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        assert self.shares is not None
        height, width = pixels.shape[:2]
        area = height * width * rng.uniform(*self.shares)
        narrowest, widest = map(math.log, self.aspects)
        aspect = np.exp(rng.uniform(narrowest, widest))
        wide = min(width, max(1, round((area * aspect) ** 0.5)))
        high = min(height, max(1, round((area / aspect) ** 0.5)))
        left, top = rng.integers(width - wide + 1), rng.integers(height - high + 1)
        return _resized(pixels[top : top + high, left : left + wide], self.size)


def _resized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    image = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image)


@dataclass(frozen=True)
class ImageBatches:
    """The images of a task, by split, as its network is given them."""

    samples: Mapping[Split, Sequence[LabelledImage]]
    preprocessing: Preprocessing

    def train(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """Yield one epoch of full batches, shuffled and cropped by `seed`."""
        samples = self.samples["train"]
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(samples))
        for start in range(0, len(order) - batch_size + 1, batch_size):
            chosen = [samples[index] for index in order[start : start + batch_size]]
            seeds = rng.integers(2**63, size=batch_size)
            yield self._batch(chosen, [np.random.default_rng(one) for one in seeds])

    def evaluated(self, split: Split, batch_size: int) -> Iterator[Batch]:
        """Yield every sample of a split once, in its order."""
        samples = self.samples[split]
        for start in range(0, len(samples), batch_size):
            chosen = samples[start : start + batch_size]
            yield self._batch(chosen, [None] * len(chosen))

    def _batch(
        self, samples: Sequence[LabelledImage], rngs: Sequence[np.random.Generator | None]
    ) -> Batch:
        """Return the samples' images, each cropped by its generator or, without one, centred."""
        with ThreadPoolExecutor(READERS) as pool:
            images = list(pool.map(self._image, [sample.image for sample in samples], rngs))
        labels = np.array([[sample.label] for sample in samples], "int64")
        return Batch((np.stack(images),), labels)

    def _image(self, path: Path, rng: np.random.Generator | None) -> np.ndarray:
        pixels, shown = read_image(path), self.preprocessing
        return shown.normalized(shown.middle(pixels) if rng is None else shown.part(pixels, rng))
