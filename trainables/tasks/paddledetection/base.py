"""Base class of PaddleDetection's tasks: data, metric and batches, from its configuration file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spaces.errors import DataError, TaskError, one_line
from trainables.data.detection import (
    BoxedImage,
    Scene,
    check_samples,
    read_coco,
    read_voc_list,
)
from trainables.data.problems import Problems
from trainables.data.splitting import halves, rarest, remark_split
from trainables.metrics.average_precision import (
    IOUS,
    VOC_IOUS,
    Detection,
    MeanAveragePrecision,
    Sizes,
)
from trainables.task import Batch, Split, TrainingRecipe
from trainables.tasks.paddledetection.config import activate, dataset_of
from trainables.tasks.paddledetection.reader import LoadedImage, eval_reader

if TYPE_CHECKING:
    import paddle

# The toolkit's classes of data sets that are supported.
DATA_SETS = ("COCODataSet", "VOCDataSet")
# Overlaps (IoU) over which precision is averaged, by the configuration's metric.
METRICS = {"COCO": IOUS, "VOC": VOC_IOUS}


class DetectionTask:
    """One configuration of PaddleDetection, with trained weights.

    A subclass defines which part of the model is searched, its boxes and its loss.
    """

    name = "paddledetection"
    protected_layers: tuple[str, ...] = ()
    learning_rate = 0.001
    """Peak of fine-tuning. A guess."""
    elsewhere: tuple[str, ...] = ()
    """Name prefixes of the weight file's arrays for parts that are not searched."""
    masks = False
    """Whether boxes need polygons."""

    def __init__(
        self, config: Mapping[str, Any], weights: Path, image_size: int | Sequence[int] | None
    ) -> None:
        self.config = config
        self.weights = weights
        self.check_parts()
        if config.get("metric", "COCO") not in METRICS:
            raise TaskError(
                f"metric {config['metric']!r} is not supported; {' and '.join(METRICS)} are"
            )
        self.classes = int(config["num_classes"])
        batch_size = int((config.get("TrainReader") or {}).get("batch_size", 8))
        self.recipe = TrainingRecipe(batch_size=batch_size, learning_rate=self.learning_rate)
        self.reader = eval_reader(config, image_size, self.coarsest_stride)
        self.check_reader()
        self.inputs = (self.reader.input,)
        problems = Problems()
        train = self._read("TrainDataset", problems)
        held_out = self._read("EvalDataset", problems)
        # The toolkit's default TestDataset has images without boxes.
        if type(self.dataset("TestDataset")).__name__ in DATA_SETS:
            test = self._read("TestDataset", problems)
        else:
            indices = halves(rarest([box.label for box in sample.boxes] for sample in held_out))
            held_out, test = ([held_out[index] for index in half] for half in indices)
            how = "at random with a fixed seed, stratified by each image's rarest class"
            remark_split("EvalDataset", held_out, test, how)
        self._samples = {"train": train, "val": held_out, "test": test}
        for samples in self._samples.values():
            check_samples(samples, problems)
        problems.raise_if_any()

    def check_parts(self) -> None:
        """Raise TaskError for parts of the network that are not supported."""

    def check_reader(self) -> None:
        """Raise TaskError for an input that the network's boxes do not support."""

    @property
    def coarsest_stride(self) -> int:
        """The input's sides must be multiples of this."""
        return 32

    def dataset(self, key: str) -> Any:
        """Return the toolkit's data set object, not yet read; None without one."""
        return dataset_of(self.config, key)

    def read(self, key: str) -> list[BoxedImage]:
        """Return the samples of a data set. Raises DataError for faulty annotations."""
        problems = Problems()
        samples = self._read(key, problems)
        problems.raise_if_any()
        return samples

    def _read(self, key: str, problems: Problems) -> list[BoxedImage]:
        """Return the samples that the toolkit would take of a data set."""
        dataset = self.dataset(key)
        kind = type(dataset).__name__
        supported = DATA_SETS[:1] if self.masks else DATA_SETS
        if kind not in supported:
            raise TaskError(
                f"{key} is {'missing' if dataset is None else kind}; {' and '.join(supported)} can "
                f"be read for {self.config['architecture']}"
            )
        if dataset.anno_path is None:
            raise TaskError(f"{key} has no anno_path; name its annotations")
        root = Path(dataset.dataset_dir)
        annotations, images = root / dataset.anno_path, root / dataset.image_dir
        if kind == "COCODataSet":
            samples, names = read_coco(annotations, images, problems, self.masks)
            class_names = list(names.values())
        else:
            class_names = _class_names(root, dataset.label_list)
            samples = read_voc_list(annotations, images, class_names, problems)
        largest = max((box.label for sample in samples for box in sample.boxes), default=0)
        if largest >= self.classes:
            raise TaskError(
                f"num_classes is {self.classes}, {key} has boxes of class {largest + 1}, "
                f"{class_names[largest]!r}; correct num_classes or the annotations"
            )
        chosen = _chosen(samples, dataset)
        if not chosen and not problems.found:
            raise DataError(
                f"{key}: {annotations} has no image with a box; name another, or set allow_empty"
            )
        return chosen

    @cached_property
    def metric(self) -> MeanAveragePrecision:
        return MeanAveragePrecision(self.classes, self.detections, self.ious)

    @property
    def ious(self) -> np.ndarray:
        """Overlaps (IoU) over which precision is averaged."""
        return METRICS[self.config.get("metric", "COCO")]

    def detections(self, outputs: Sequence[np.ndarray], sizes: Sizes) -> list[list[Detection]]:
        """Return the boxes of every image, from the model's outputs."""
        raise NotImplementedError

    def targets(self, images: Sequence[LoadedImage]) -> Any:
        """Return a batch's targets for the loss."""
        raise NotImplementedError

    def build_untrained(self) -> paddle.nn.Layer:
        """Return the searched network, without trained weights."""
        raise NotImplementedError

    def build_model(self) -> paddle.nn.Layer:
        from trainables.weights import load_weights

        model = self.build_untrained()
        load_weights(model, self.weights, self.elsewhere)
        return model

    def detector(self) -> Any:
        """Return the toolkit's whole model, untrained."""
        return self.create(self.config["architecture"])

    def create(self, name: str) -> Any:
        """Return a component of the configuration, built by the toolkit."""
        from ppdet.core.workspace import create

        activate(self.config)
        try:
            return create(name)
        except Exception as error:  # The toolkit raises errors of many kinds.
            raise TaskError(f"{name} cannot be built ({one_line(error)}); correct it") from error

    def train_batches(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """Yield randomly mirrored images with the loss's targets."""
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(self._samples["train"]))
        for start in range(0, len(order) - batch_size + 1, batch_size):
            samples = [self._samples["train"][index] for index in order[start : start + batch_size]]
            loaded = [self.reader.load(sample, bool(rng.random() < 0.5)) for sample in samples]
            images = np.stack([image.tensor for image in loaded])
            yield Batch((images,), self.targets(loaded))

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        """Yield a split. Without a labelled TestDataset, half of EvalDataset is the test split."""
        samples = self._samples[split]
        for start in range(0, len(samples), batch_size):
            loaded = [self.reader.load(sample) for sample in samples[start : start + batch_size]]
            images = np.stack([image.tensor for image in loaded])
            yield Batch((images,), [Scene(image.boxes, image.size) for image in loaded])


def _class_names(root: Path, label_list: str | None) -> list[str]:
    """Return the lines of a list of classes, without one the toolkit's twenty of Pascal VOC."""
    if not label_list:
        from ppdet.data.source.voc import pascalvoc_label

        return list(pascalvoc_label())
    file = root / label_list
    try:
        lines = file.read_text(encoding="utf-8").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"label_list {file} cannot be read ({error}); name a text file") from error
    return [line.strip() for line in lines]


def _chosen(samples: Sequence[BoxedImage], dataset: Any) -> list[BoxedImage]:
    """Return the samples that the toolkit takes of a data set: `sample_num` images; images without
    a box only with `allow_empty`, up to a fraction `empty_ratio` of all."""
    # Without `load_crowd`, COCO's crowds do not count as boxes.
    crowds = getattr(dataset, "load_crowd", True)
    has_box = {id(s): any(crowds or not box.hard for box in s.boxes) for s in samples}
    taken = [s for s in samples if has_box[id(s)] or dataset.allow_empty]
    if dataset.sample_num > 0:
        taken = taken[: dataset.sample_num]
    with_boxes = [s for s in taken if has_box[id(s)]]
    empty = [s for s in taken if not has_box[id(s)]]
    if 0 <= dataset.empty_ratio < 1:
        limit = int(len(with_boxes) * dataset.empty_ratio / (1 - dataset.empty_ratio))
        if len(empty) > limit:
            rng = np.random.default_rng(0)
            chosen = np.sort(rng.permutation(len(empty))[:limit])
            empty = [empty[index] for index in chosen]
    return [*with_boxes, *empty]
