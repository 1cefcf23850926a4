"""Batches of images with a class each: their middles, or for training parts chosen at random."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trainables.data.classification import LabelledImage
from trainables.data.image_input import Interpolation, Library, Normalize, Preparation, Resize
from trainables.data.images import READERS, Pixels
from trainables.data.preparing import prepare, read_pixels, resized
from trainables.task import Batch, ModelInput, Split


@dataclass(frozen=True)
class Preprocessing:
    """What becomes of an image before a classifier sees it."""

    input: ModelInput
    """With its `image`: what is evaluated."""
    shares: tuple[float, float] | None = (0.25, 1.0)
    """Least and greatest share of an image's area that a training crop shows (Szegedy et al.,
    2015); None: what is evaluated."""
    aspects: tuple[float, float] = (3 / 4, 4 / 3)
    """Of such a crop, least and greatest: its width by its height before it is resized."""
    library: Library = "pillow"
    interpolation: Interpolation = "bilinear"
    """What such a crop is resized by."""
    mirrors: bool = True

    @property
    def decoding(self) -> Preparation:
        assert self.input.image is not None
        return self.input.image

    def part(self, pixels: Pixels, rng: np.random.Generator) -> np.ndarray:
        """Return the tensor of a part of an image for training, mirrored or not."""
        if self.shares is None:
            tensor = prepare(pixels, self.input)
        else:
            steps = tuple(step for step in self.decoding.steps if isinstance(step, Normalize))
            image = replace(self.decoding, steps=steps)
            tensor = prepare(self._crop(pixels, rng), replace(self.input, image=image))
        mirrored = self.mirrors and rng.random() < 0.5
        return np.ascontiguousarray(tensor[:, :, ::-1]) if mirrored else tensor

    def _crop(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        assert self.shares is not None
        height, width = pixels.shape[:2]
        area = height * width * rng.uniform(*self.shares)
        narrowest, widest = map(math.log, self.aspects)
        aspect = np.exp(rng.uniform(narrowest, widest))
        wide = min(width, max(1, round((area * aspect) ** 0.5)))
        high = min(height, max(1, round((area / aspect) ** 0.5)))
        left, top = rng.integers(width - wide + 1), rng.integers(height - high + 1)
        size = Resize(
            height=self.input.shape[1],
            width=self.input.shape[2],
            library=self.library,
            interpolation=self.interpolation,
        )
        return resized(pixels[top : top + high, left : left + wide], size)


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
        shown = self.preprocessing
        pixels = read_pixels(path, shown.decoding)
        return prepare(pixels, shown.input) if rng is None else shown.part(pixels, rng)
