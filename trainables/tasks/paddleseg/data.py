"""PaddleSeg's data sets: the toolkit's samples and labels, at the engine's input size."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spaces.errors import TaskError
from trainables.data.problems import Problems
from trainables.data.segmentation import MaskedImage, check_samples
from trainables.data.splitting import halves, remark_split
from trainables.tasks.paddleseg.input import (
    Size,
    add_label_fields,
    is_portrait,
    kind,
    resize_validation,
)
from trainables.tasks.paddleseg.losses import MaskTargets

# Keys that name folders of a data set.
ROOTS = ("dataset_root", "imagenet_root", "pssl_root")
PAIRED = {
    "Cityscapes": ("_leftImg8bit.png", "_gtFine_labelTrainIds.png"),
    "CocoStuff": (".jpg", ".png"),
}
"""Data sets that pair two sorted lists of files, with the suffixes of image and mask."""


def check_roots(name: str, config: Mapping[str, Any]) -> None:
    """Raise TaskError if a data set's folder is missing: the toolkit would download it."""
    given = {key: config[key] for key in ROOTS if config.get(key) is not None}
    if not given:
        raise TaskError(f"{name} names no dataset_root; name the folder of the data")
    for key, folder in given.items():
        if not Path(folder).is_dir():
            raise TaskError(
                f"{name}: {key} {folder} is missing; name the folder of the data "
                "(nothing is downloaded)"
            )


def fix_dataset(dataset: Any) -> None:
    """Work around faults of the toolkit's data sets and transforms."""
    if kind(dataset) == "ADE20K":
        # The toolkit lists a folder in the file system's order, which differs between nodes.
        dataset.file_list.sort()
    if is_portrait(dataset):
        # Without the fields ScalePadding fails, and RandomAffine does not transform labels.
        dataset.transforms.transforms.insert(0, add_label_fields)
    steps = dataset.transforms.transforms
    for index, step in enumerate(steps):
        if kind(step) == "RandomPaddingCrop" and step.category_max_ratio < 1:
            steps[index] = _VariedCrop(step)


class _VariedCrop:
    """RandomPaddingCrop with a `category_max_ratio`: a crop that no single class fills.

    The toolkit's own replaces the image by the labels, or does not crop it.
    """

    def __init__(self, crop: Any) -> None:
        self.crop = crop

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        from paddleseg.transforms.functional import crop

        sample = self.crop._padding(sample)
        size = sample["img"].shape[:2]
        window = self.crop._get_crop_coordinates(size)
        for _ in range(self.crop.loop_times):
            labels, counts = np.unique(crop(sample["label"], window), return_counts=True)
            counts = counts[labels != self.crop.ignore_index]
            if len(counts) > 1 and counts.max() / counts.sum() < self.crop.category_max_ratio:
                break
            window = self.crop._get_crop_coordinates(size)
        for field in ("img", *sample["gt_fields"]):
            sample[field] = crop(sample[field], window)
        return sample


def resized_labels(labels: np.ndarray, size: Size) -> np.ndarray:
    """Resize class numbers (h, w) by nearest neighbour, with OpenCV's sampling grid."""
    rows, columns = (
        np.minimum(np.arange(new) * old / new, old - 1).astype(int)
        for new, old in zip(size, labels.shape, strict=True)
    )
    return labels[rows][:, columns]


def transformed_labels(
    labels: np.ndarray, done: Sequence[Any], size: Size, ignored: int
) -> np.ndarray:
    """Apply to labels the transforms of their image, given the toolkit's `trans_info`.

    An entry has a transform's name and the size before it. Padded pixels get the class `ignored`:
    the toolkit removes them before it evaluates.
    """
    after = [*(tuple(before) for _, before in done[1:]), size][: len(done)]
    for (name, _), target in zip(done, after, strict=True):
        if name == "padding":
            high, wide = (new - old for new, old in zip(target, labels.shape, strict=True))
            labels = np.pad(labels, ((0, high), (0, wide)), constant_values=ignored)
        else:
            labels = resized_labels(labels, target)
    return labels if labels.shape == size else resized_labels(labels, size)


class _LabelsOnly:
    """Replaces a data set's transforms when only its labels are read."""

    def __call__(self, sample: dict[str, Any]) -> dict[str, Any]:
        from PIL import Image

        label = sample.get("label")
        if isinstance(label, str):
            with Image.open(label) as image:
                label = np.asarray(image)
        return {**sample, "img": np.zeros((3, 1, 1), "float32"), "label": label}


class SegmentationData:
    """The samples of a configuration: augmented for training, unchanged for evaluation."""

    def __init__(self, train: Any, held_out: Any, test: Any | None) -> None:
        """With `test` None, a random half of the held-out images is the test split."""
        for dataset in filter(None, (train, held_out, test)):
            fix_dataset(dataset)
        self.train, self.held_out, self.test = train, held_out, test
        self.ignored = int(train.ignore_index)
        self._halves = halves([None] * len(held_out.file_list))
        if test is None:
            remark_split("val_dataset", *self._halves, "at random with a fixed seed")
        self.size: Size = (0, 0)

    def check(self, config_file: str, classes: int) -> None:
        """Raise DataError for missing or damaged data, before anything is trained."""
        problems = Problems()
        for dataset in filter(None, (self.train, self.held_out, self.test)):
            samples = [
                MaskedImage(Path(image), Path(mask or ""), f"{config_file}: {dataset.mode} {index}")
                for index, (image, mask) in enumerate(dataset.file_list, 1)
            ]
            if not samples:
                problems.note(config_file, f"the {dataset.mode} data set has no image; add some")
            image_end, mask_end = PAIRED.get(kind(dataset), ("", ""))
            for sample in samples if image_end else ():
                image, mask = sample.image.name, sample.mask.name
                if image.removesuffix(image_end) != mask.removesuffix(mask_end):
                    problems.note(sample.where, f"{image} is paired with {mask}; a file is missing")
                    break
            check_samples(samples, classes, problems, self.ignored, self._raw_labels(dataset))
        problems.raise_if_any()

    def _raw_labels(self, dataset: Any) -> Callable[[int], np.ndarray]:
        """Return a function that reads the labels of the data set's sample at an index."""
        reader = copy.copy(dataset)
        reader.transforms = _LabelsOnly()
        if is_portrait(dataset):
            reader.common_transforms = reader.transforms
        reader.mode = "train" if kind(dataset) == "PSSLDataset" else "val"

        def read(index: int) -> np.ndarray:
            labels = np.asarray(reader[index]["label"])
            return labels[0] if reader.mode == "val" and labels.shape[0] == 1 else labels

        return read

    def resize_to(self, size: Size) -> None:
        """Set the height and width of all images."""
        self.size = size
        resize_validation(self.held_out, size)

    def of_split(self, split: str) -> list[Callable[[], tuple[np.ndarray, np.ndarray]]]:
        """Return for every sample of a split a function that reads its image and labels."""
        dataset, listed = copy.copy(self.held_out), self.held_out.file_list
        # In the mode "test" a data set transforms labels itself, in "val" it does not.
        dataset.mode = "val"
        if split == "train":
            listed = self.train.file_list
        elif self.test is not None:
            listed = self.test.file_list if split == "test" else listed
        else:
            listed = [listed[index] for index in self._halves[split == "test"]]
        dataset.file_list = listed
        return [partial(self._evaluated, dataset, index) for index in range(len(listed))]

    def _evaluated(self, dataset: Any, index: int) -> tuple[np.ndarray, np.ndarray]:
        sample = dataset[index]
        labels = np.asarray(sample["label"])
        labels = labels[0] if labels.ndim == 3 else labels
        done = sample.get("trans_info", ())
        size = sample["img"].shape[1:]
        return sample["img"], transformed_labels(labels, done, size, self.ignored)

    def augmented(self, indices: Iterable[int], seed: int) -> list[dict[str, Any]]:
        """Return training samples, augmented with the seed, at the engine's size."""
        # The toolkit's transforms use both generators.
        random.seed(seed)
        np.random.seed(seed % 2**32)
        return [self._at_size(dict(self.train[int(index)])) for index in indices]

    def _at_size(self, sample: dict[str, Any]) -> dict[str, Any]:
        if sample["img"].shape[1:] == self.size:
            return sample
        import cv2

        pixels = np.ascontiguousarray(sample["img"].transpose(1, 2, 0), dtype="float32")
        resized = cv2.resize(pixels, self.size[::-1], interpolation=cv2.INTER_LINEAR)
        sample["img"] = resized.reshape(*self.size, -1).transpose(2, 0, 1)
        sample["label"] = resized_labels(np.asarray(sample["label"]), self.size)
        if "edge" in sample:
            sample["edge"] = resized_labels(np.asarray(sample["edge"])[0], self.size)[None]
        if "instances" in sample:
            masks = sample["instances"]["gt_masks"]
            sample["instances"] = {
                **sample["instances"],
                "gt_masks": np.stack([resized_labels(mask, self.size) for mask in masks]),
            }
        return sample


def training_targets(samples: Sequence[Mapping[str, Any]]) -> Any:
    """Return a batch's class numbers, with edges and instances if the samples have them."""

    def stacked(values: Sequence[Any]) -> np.ndarray:
        return np.stack([np.asarray(value) for value in values])

    labels = stacked([sample["label"] for sample in samples]).astype("int64")
    edges = instances = None
    if "edge" in samples[0]:
        edges = stacked([sample["edge"] for sample in samples]).astype("int64")
        edges = edges[:, None] if edges.ndim == 3 else edges
    if "instances" in samples[0]:
        instances = {
            name: stacked([sample["instances"][name] for sample in samples])
            for name in ("gt_classes", "gt_masks")
        }
    plain = edges is None and instances is None
    return labels if plain else MaskTargets(labels, edges, instances)
