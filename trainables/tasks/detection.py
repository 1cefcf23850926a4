"""What PaddleDetection's models have in common: images with boxes, from its configuration file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from spaces.errors import TaskError
from trainables.average_precision import IOUS, VOC_IOUS, Detection, MeanAveragePrecision
from trainables.data.detection import (
    Box,
    BoxedImage,
    check_samples,
    read_coco,
    read_voc_list,
)
from trainables.data.images import normalized, read_image
from trainables.data.problems import Problems
from trainables.task import Batch, ModelInput, Split, TrainingRecipe

if TYPE_CHECKING:
    import paddle

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
READABLE = ("COCODataSet", "VOCDataSet")


class DetectionTask:
    """One configuration of PaddleDetection, with trained weights.

    A subclass says what of the model is searched, how boxes are made of its outputs, and what
    its loss is.
    """

    name = "paddledetection"
    protected_layers: tuple[str, ...] = ()
    learning_rate = 0.001
    """The peak of a fine-tuning."""
    elsewhere: tuple[str, ...] = ()
    """Beginnings of the names of arrays that the file has for parts that are not searched."""
    masks = False
    """Whether boxes need the polygons of what is in them."""

    def __init__(self, config: Mapping[str, Any], weights: Path, image_size: int) -> None:
        self.config = config
        self.weights = weights
        self.image_size = image_size
        self.classes = int(config["num_classes"])
        batch_size = int((config.get("TrainReader") or {}).get("batch_size", 8))
        self.recipe = TrainingRecipe(batch_size=batch_size, learning_rate=self.learning_rate)
        self.inputs = (
            ModelInput("image", (3, image_size, image_size), scale=1 / 255, mean=MEAN, std=STD),
        )
        problems = Problems()
        train = self._read("TrainDataset", problems)
        held_out = self._read("EvalDataset", problems)
        # The toolkit's own has images without boxes there, unless one writes another.
        if type(self.config.get("TestDataset")).__name__ in READABLE:
            test = self._read("TestDataset", problems)
        else:
            held_out, test = held_out[::2], held_out[1::2]
        self._samples = {"train": train, "val": held_out, "test": test}
        for samples in self._samples.values():
            check_samples(samples, problems)
        problems.raise_if_any()

    def _read(self, key: str, problems: Problems) -> list[BoxedImage]:
        dataset: Any = self.config.get(key)
        kind = type(dataset).__name__
        readable = READABLE[:1] if self.masks else READABLE
        if kind not in readable:
            raise TaskError(
                f"{key} is {kind}; {' and '.join(readable)} can be read for "
                f"{self.config['architecture']}"
            )
        root = Path(dataset.dataset_dir)
        if kind == "COCODataSet":
            annotations, images = root / dataset.anno_path, root / dataset.image_dir
            return read_coco(annotations, images, problems, self.masks)[0]
        names = (root / dataset.label_list).read_text().split()
        return read_voc_list(root / dataset.anno_path, root, names, problems)

    @cached_property
    def metric(self) -> MeanAveragePrecision:
        return MeanAveragePrecision(self.classes, self.detections, self.ious)

    @property
    def ious(self) -> np.ndarray:
        """Overlaps that precision is averaged over."""
        return VOC_IOUS if self.config.get("metric") == "VOC" else IOUS

    def detections(self, outputs: Sequence[np.ndarray]) -> list[list[Detection]]:
        """Return the boxes of every image, made of the model's outputs."""
        raise NotImplementedError

    def targets(self, images: np.ndarray, boxes: Sequence[Sequence[Box]]) -> Any:
        """Return what the loss wants to know of a batch."""
        raise NotImplementedError

    def build_untrained(self) -> paddle.nn.Layer:
        """Return what is searched, without its weights."""
        raise NotImplementedError

    def build_model(self) -> paddle.nn.Layer:
        from trainables.weights import load_weights

        model = self.build_untrained()
        load_weights(model, self.weights, self.elsewhere)
        return model

    def detector(self) -> Any:
        """Return the toolkit's whole model, untrained."""
        from ppdet.core.workspace import create, global_config

        # The toolkit keeps one configuration for the whole process.
        global_config.update(self.config)
        return create(self.config["architecture"])

    def train_batches(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """Yield images, mirrored or not, with the loss's targets."""
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(self._samples["train"]))
        for start in range(0, len(order) - batch_size + 1, batch_size):
            samples = [self._samples["train"][index] for index in order[start : start + batch_size]]
            loaded = [self._load(sample, bool(rng.random() < 0.5)) for sample in samples]
            images = np.stack([image for image, _ in loaded])
            yield Batch((images,), self.targets(images, [boxes for _, boxes in loaded]))

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        """Yield a split. Without a labelled TestDataset, every other held-out image is the test."""
        samples = self._samples[split]
        for start in range(0, len(samples), batch_size):
            loaded = [self._load(sample, False) for sample in samples[start : start + batch_size]]
            images = np.stack([image for image, _ in loaded])
            yield Batch((images,), [boxes for _, boxes in loaded])

    def _load(self, sample: BoxedImage, mirrored: bool) -> tuple[np.ndarray, list[Box]]:
        """Return the image, normalized, and its boxes in pixels of it."""
        pixels = read_image(sample.image)
        height, width = pixels.shape[:2]
        side = self.image_size
        resized = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)
        image = normalized(np.asarray(resized), MEAN, STD)
        boxes = [box.scaled(side / width, side / height) for box in sample.boxes]
        if mirrored:
            boxes = [box.mirrored(side) for box in boxes]
            image = np.ascontiguousarray(image[:, :, ::-1])
        return image, boxes
