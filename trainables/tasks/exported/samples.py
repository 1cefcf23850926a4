"""Samples without labels, from images or ready tensors, split by their content."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np

from spaces.errors import DataError
from trainables.data.classification import SUFFIXES
from trainables.data.image_batches import Preprocessing
from trainables.data.image_input import CenterCrop, Resize
from trainables.data.images import READERS, check_images, image_size
from trainables.data.lines import numbered_lines
from trainables.data.preparing import prepare, read_pixels, target_size
from trainables.data.problems import Problems
from trainables.remarks import remark
from trainables.task import SPLITS, ModelInput, Split

Inputs = tuple[np.ndarray, ...]

# Shares of the samples in train, val and test. Without labels, more serve to judge than elsewhere:
# training draws new crops from the same images. A guess.
SHARES = (0.6, 0.2, 0.2)
# Smallest area of a training crop, relative to the image's: an export does not say how it was
# trained, so its images are changed little. The same of a line's width. A guess.
LEAST_AREA = 0.5


# Channels of an input that is an image: grey, or of three colours.
CHANNELS = (1, 3)
# Endings of files of ready tensors.
TENSORS = (".npy", ".npz")


class Samples(Protocol):
    """Samples of a task, by their number."""

    @property
    def splits(self) -> dict[Split, list[int]]: ...

    @property
    def labelled(self) -> Mapping[Split, Sequence[int]]:
        """The samples of each split that are evaluated: all, unless some have labels."""
        ...

    def read(self, indices: Sequence[int]) -> Inputs:
        """Return samples as they are evaluated, along axis 0."""
        ...

    def augmented(self, indices: Sequence[int], rng: np.random.Generator) -> Inputs:
        """Return samples as they are trained on, along axis 0."""
        ...


def split_by_content(digests: Sequence[str], where: Path) -> dict[Split, list[int]]:
    """Return the numbers of each split's samples: the same for the same contents in any order.

    Equal samples are in one split. Raises DataError if one would be empty.
    """
    different = sorted(set(digests))
    ends = np.round(np.cumsum(SHARES) * len(different)).astype(int)
    if len(different) < len(SPLITS) or ends[0] == 0 or len(set(ends)) < len(SPLITS):
        raise DataError(
            f"data {where} has {len(different)} different samples; training, validation and test "
            "need 3 at least, and hundreds for a trusted result"
        )
    of = {
        digest: SPLITS[int(np.searchsorted(ends, n, "right"))] for n, digest in enumerate(different)
    }
    return {
        split: [index for index, digest in enumerate(digests) if of[digest] == split]
        for split in SPLITS
    }


class ImageSamples:
    """Image files for a model's only input."""

    def __init__(
        self,
        data: Path,
        spec: ModelInput,
        labelled: Sequence[Path] = (),
        masks: Sequence[Path] = (),
        *,
        augment: bool,
    ) -> None:
        """The first samples are those `labelled`; only these are evaluated, if there are any.

        `masks` are no samples, wherever they are.

        Raises DataError, in one line, for images that are missing or damaged.
        """
        files, no_samples = (*labelled, *_listed(data)), set(masks)
        self._files = list(dict.fromkeys(file for file in files if file not in no_samples))
        problems = Problems()
        check_images(((file, str(data)) for file in self._files), problems)
        problems.raise_if_any()
        _check_crops(self._files, spec, problems)
        problems.raise_if_any()
        digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in self._files]
        count = len(labelled) or len(digests)
        self.splits = split_by_content(digests[:count], data)
        self.labelled = {split: tuple(indices) for split, indices in self.splits.items()}
        evaluated = {digests[i] for split in ("val", "test") for i in self.labelled[split]}
        others = range(count, len(digests))
        self.splits["train"] += [i for i in others if digests[i] not in evaluated]
        # Text cannot be mirrored, and has to keep its height.
        lines = _line_step(spec) is not None
        _remark_squeezed(self._files, spec)
        self._cuts = augment and lines
        areas = (LEAST_AREA, 1.0) if augment and not lines else None
        self._how = Preprocessing(spec, areas, library="opencv", mirrors=augment and not lines)

    def read(self, indices: Sequence[int]) -> Inputs:
        return self._stacked(indices, [None] * len(indices))

    def augmented(self, indices: Sequence[int], rng: np.random.Generator) -> Inputs:
        seeds = rng.integers(2**63, size=len(indices))
        return self._stacked(indices, [np.random.default_rng(seed) for seed in seeds])

    def _stacked(
        self, indices: Sequence[int], rngs: Sequence[np.random.Generator | None]
    ) -> Inputs:
        with ThreadPoolExecutor(READERS) as pool:
            images = list(pool.map(self._image, [self._files[i] for i in indices], rngs))
        return (np.stack(images),)

    def _image(self, file: Path, rng: np.random.Generator | None) -> np.ndarray:
        how = self._how
        pixels = read_pixels(file, how.decoding, how.input.shape[0])
        if self._cuts and rng is not None:
            pixels = _part_of_line(pixels, rng)
        return prepare(pixels, how.input) if rng is None else how.augmented(pixels, rng)


def _line_step(spec: ModelInput) -> Resize | None:
    """Return the step that resizes lines of text; None if images are no lines."""
    for step in spec.image.steps if spec.image else ():
        if isinstance(step, Resize) and step.rule == "line":
            return step
    return None


def _remark_squeezed(files: Sequence[Path], spec: ModelInput) -> None:
    step = _line_step(spec)
    if step is None or step.height is None or step.width is None:
        return
    sizes = [image_size(file) for file in files]
    squeezed = sum(step.height * wide > step.width * high for high, wide in sizes)
    if squeezed:
        remark(
            f"{squeezed} of the {len(files)} lines are squeezed into the input's width of "
            f"{step.width}; give a wider task_options.size"
        )


def _part_of_line(pixels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a part of a line's pixels, as high as the line."""
    width = pixels.shape[1]
    wide = max(1, round(width * rng.uniform(LEAST_AREA, 1.0)))
    left = rng.integers(width - wide + 1)
    return pixels[:, left : left + wide]


def _check_crops(files: Sequence[Path], spec: ModelInput, problems: Problems) -> None:
    """Note images from which the model's crop cannot be taken."""
    assert spec.image is not None
    for file in files:
        size = image_size(file)
        for step in spec.image.steps:
            if isinstance(step, Resize):
                size = target_size(step, *size)
            if isinstance(step, CenterCrop):
                if size[0] < step.height or size[1] < step.width:
                    problems.note(
                        str(file),
                        f"{size[0]} x {size[1]} pixels are fewer than the model's crop of "
                        f"{step.height} x {step.width}; remove it, or give mean, std and scale",
                    )
                size = step.height, step.width


class TensorSamples:
    """Ready tensors from an .npy or .npz file, one array for each input of the model."""

    def __init__(self, data: Path, inputs: Sequence[ModelInput]) -> None:
        """Raises DataError, in one line, for arrays that do not fit the inputs."""
        self._arrays = _arrays(data, [spec.name for spec in inputs])
        counts = {array.shape[:1] for array in self._arrays}
        for array, spec in zip(self._arrays, inputs, strict=True):
            if array.shape[1:] != spec.shape or len(counts) > 1:
                raise DataError(
                    f"data {data}: {spec.name} has shape {array.shape}; the model takes "
                    f"(samples, {', '.join(map(str, spec.shape))}), as many of each input"
                )
        self._arrays = [
            _as_input(array, spec, data) for array, spec in zip(self._arrays, inputs, strict=True)
        ]
        rows = range(len(self._arrays[0]))
        self.splits = split_by_content([self._digest(row) for row in rows], data)
        self.labelled = self.splits

    def _digest(self, row: int) -> str:
        digest = hashlib.sha256()
        for array in self._arrays:
            digest.update(np.ascontiguousarray(array[row]).tobytes())
        return digest.hexdigest()

    def read(self, indices: Sequence[int]) -> Inputs:
        return tuple(array[list(indices)] for array in self._arrays)

    def augmented(self, indices: Sequence[int], rng: np.random.Generator) -> Inputs:
        return self.read(indices)


def _listed(data: Path) -> list[Path]:
    """Return the images of a folder and its subfolders, or those of a list, a path in each line."""
    if data.is_dir():
        found = sorted(f for f in data.rglob("*") if f.suffix.lower() in SUFFIXES)
        if not found:
            raise DataError(f"data {data} has no images ({', '.join(sorted(SUFFIXES))}); add some")
        return found
    if data.is_file() and data.suffix.lower() in SUFFIXES:
        raise DataError(f"data {data} is one image; name a folder of images, or a list of them")
    # What follows a tab, as a label does, is not read.
    return [data.parent / line.split("\t")[0].strip() for _, line in numbered_lines(data)]


def _as_input(array: np.ndarray, spec: ModelInput, data: Path) -> np.ndarray:
    """Return an array as the model takes it. Raises DataError for numbers that it cannot take."""
    with np.errstate(over="ignore"):
        if not np.can_cast(array.dtype, spec.dtype, "same_kind"):
            raise DataError(
                f"data {data}: {spec.name} is {array.dtype}, the model takes {spec.dtype}"
            )
        found = array.astype(spec.dtype, copy=False)
    if not np.isfinite(found).all():
        raise DataError(
            f"data {data}: {spec.name} has values that are not finite in {spec.dtype}; correct them"
        )
    return found


def _arrays(data: Path, names: Sequence[str]) -> list[np.ndarray]:
    try:
        loaded = np.load(data, allow_pickle=False)
        if not isinstance(loaded, np.ndarray):
            loaded = {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"data {data} holds no arrays of numbers; save them with numpy") from error
    if isinstance(loaded, np.ndarray):
        loaded = {names[0]: loaded} if len(names) == 1 else {"one array": loaded}
    missing = [name for name in names if name not in loaded]
    if missing and not (len(names) == len(loaded) == 1):
        raise DataError(
            f"data {data} has no array {missing[0]!r}, an input of the model; it has "
            f"{', '.join(loaded) or 'none'}"
        )
    return [loaded[name] for name in (loaded if missing else names)]


def read_samples(
    data: Path,
    inputs: Sequence[ModelInput],
    labelled: Sequence[Path] = (),
    masks: Sequence[Path] = (),
    *,
    augment: bool,
) -> Samples:
    """Return the samples of a folder of images, a list of them, or a file of tensors.

    Of images, those `labelled` come first, and only these are evaluated if there are any.
    """
    if data.suffix in TENSORS:
        return TensorSamples(data, inputs)
    check_images_fit(data, inputs)
    return ImageSamples(data, inputs[0], labelled, masks, augment=augment)


def check_images_fit(data: Path, inputs: Sequence[ModelInput]) -> None:
    """Raise DataError unless the model takes one image."""
    if len(inputs) != 1 or len(inputs[0].shape) != 3 or inputs[0].shape[0] not in CHANNELS:
        raise DataError(
            f"data {data}: the model does not take one image, but "
            f"{', '.join(f'{i.name} {i.shape}' for i in inputs)}; save its inputs as an .npz"
        )


def epoch(samples: Samples, batch_size: int, seed: int) -> Iterator[Inputs]:
    """Yield the training split once in full batches, shuffled; one batch at least, of samples that
    are repeated if they are fewer."""
    rng = np.random.default_rng(seed)
    train = np.array(samples.splits["train"])
    order = rng.permutation(train)
    while len(order) < batch_size:
        order = np.concatenate([order, rng.permutation(train)])
    for start in range(0, len(order) - batch_size + 1, batch_size):
        yield samples.augmented(order[start : start + batch_size].tolist(), rng)
