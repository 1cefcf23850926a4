"""Batches of images with one class each; random crops for training."""

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
    """How images are preprocessed for a classifier, in evaluation and in training."""

    input: ModelInput
    """The evaluation's input, with its preparation in `image`."""
    areas: tuple[float, float] | None = (0.25, 1.0)
    """Range of a training crop's area, relative to the image's (Szegedy et al., 2015); None: no
    crops, training uses the evaluation's preparation. The lower bound is a guess."""
    aspects: tuple[float, float] = (3 / 4, 4 / 3)
    """Range of a training crop's width / height, before it is resized (Szegedy et al., 2015)."""
    library: Library = "pillow"
    """Resizes training crops."""
    interpolation: Interpolation = "bilinear"
    """Of training crops."""
    mirrors: bool = True

    @property
    def decoding(self) -> Preparation:
        assert self.input.image is not None
        return self.input.image

    def augmented(self, pixels: Pixels, rng: np.random.Generator) -> np.ndarray:
        """Return an image's tensor for training, randomly cropped and mirrored."""
        if self.areas is None:
            tensor = prepare(pixels, self.input)
        else:
            steps = tuple(step for step in self.decoding.steps if isinstance(step, Normalize))
            image = replace(self.decoding, steps=steps)
            tensor = prepare(self._crop(pixels, rng), replace(self.input, image=image))
        mirrored = self.mirrors and rng.random() < 0.5
        return np.ascontiguousarray(tensor[:, :, ::-1]) if mirrored else tensor

    def _crop(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        assert self.areas is not None
        height, width = pixels.shape[:2]
        area = height * width * rng.uniform(*self.areas)
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
    """The images of a task by split, in batches for its network."""

    samples: Mapping[Split, Sequence[LabelledImage]]
    preprocessing: Preprocessing

    def train(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """Yield one epoch of full batches, shuffled and augmented with `seed`."""
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
        """Return a batch of samples; those with a generator are augmented."""
        with ThreadPoolExecutor(READERS) as pool:
            images = list(pool.map(self._image, [sample.image for sample in samples], rngs))
        labels = np.array([[sample.label] for sample in samples], "int64")
        return Batch((np.stack(images),), labels)

    def _image(self, path: Path, rng: np.random.Generator | None) -> np.ndarray:
        how = self.preprocessing
        pixels = read_pixels(path, how.decoding)
        return prepare(pixels, how.input) if rng is None else how.augmented(pixels, rng)
