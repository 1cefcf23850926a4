"""PaddleDetection's YOLOv3 models, with their loss and data, from its own configuration file.

    --task paddledetection --config-file yolov3.yml --weights model.pdparams

Needs the toolkit's wheel. What is pruned, exported and timed ends in the head's maps; boxes are
made of them in numpy, here and in a deployment alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from spaces.errors import TaskError, one_line
from trainables.average_precision import IOUS, VOC_IOUS, MeanAveragePrecision
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
from trainables.yolo_boxes import YoloDecoder

if TYPE_CHECKING:
    import paddle

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MOST_BOXES = 100
DYNAMIC = "its heads decide by the image which boxes they look at, and no trace shows that"
REFUSED = {"FasterRCNN": DYNAMIC, "MaskRCNN": DYNAMIC, "CascadeRCNN": DYNAMIC}
READABLE = ("COCODataSet", "VOCDataSet")


class PaddleDetectionTask:
    """One YOLOv3 configuration of PaddleDetection, with trained weights."""

    name = "paddledetection"
    protected_layers: tuple[str, ...] = ()

    def __init__(self, config_file: str, weights: str, image_size: int = 320) -> None:
        if not Path(config_file).is_file():
            raise TaskError(
                f"config_file {config_file} is missing; name a PaddleDetection YAML file"
            )
        try:
            import ppdet.data
            import ppdet.modeling  # noqa: F401  enters what configurations name
            from ppdet.core.workspace import load_config
        except ImportError as error:
            raise TaskError(
                f"task 'paddledetection' needs PaddleDetection ({one_line(error)}); install it "
                "with pip install --no-deps -r toolkits.txt"
            ) from error
        try:
            self._config = dict(load_config(config_file))
        except Exception as error:  # The toolkit raises and asserts whatever comes.
            raise TaskError(f"config_file {config_file}: {one_line(error)}; mend it") from error
        architecture = self._config.get("architecture")
        if architecture != "YOLOv3":
            why = REFUSED.get(str(architecture), "its outputs are not known here")
            raise TaskError(
                f"config_file {config_file}: architecture {architecture!r} cannot be searched "
                f"({why}); YOLOv3 can"
            )
        self.weights = Path(weights)
        self.image_size = image_size
        self.classes = int(self._config["num_classes"])
        batch_size = int((self._config.get("TrainReader") or {}).get("batch_size", 8))
        self.recipe = TrainingRecipe(batch_size=batch_size, learning_rate=0.001)
        self.inputs = (
            ModelInput("image", (3, image_size, image_size), scale=1 / 255, mean=MEAN, std=STD),
        )
        problems = Problems()
        train = self._read("TrainDataset", problems)
        held_out = self._read("EvalDataset", problems)
        # The toolkit's own has images without boxes there, unless one writes another.
        if type(self._config.get("TestDataset")).__name__ in READABLE:
            test = self._read("TestDataset", problems)
        else:
            held_out, test = held_out[::2], held_out[1::2]
        self._samples = {"train": train, "val": held_out, "test": test}
        for samples in self._samples.values():
            check_samples(samples, problems)
        problems.raise_if_any()

    def _read(self, key: str, problems: Problems) -> list[BoxedImage]:
        dataset: Any = self._config.get(key)
        kind = type(dataset).__name__
        if kind not in READABLE:
            raise TaskError(f"{key} is {kind}; {' and '.join(READABLE)} can be read")
        root = Path(dataset.dataset_dir)
        if kind == "COCODataSet":
            return read_coco(root / dataset.anno_path, root / dataset.image_dir, problems)[0]
        names = (root / dataset.label_list).read_text().split()
        return read_voc_list(root / dataset.anno_path, root, names, problems)

    @cached_property
    def metric(self) -> MeanAveragePrecision:
        ious = VOC_IOUS if self._config.get("metric") == "VOC" else IOUS
        return MeanAveragePrecision(self.classes, self.decoder.detections, ious)

    @cached_property
    def decoder(self) -> YoloDecoder:
        """What makes boxes of the model's outputs."""
        head = self._config["YOLOv3Head"]
        anchors = [[tuple(head["anchors"][i]) for i in mask] for mask in head["anchor_masks"]]
        return YoloDecoder(anchors, [32, 16, 8][: len(anchors)], self.classes)

    def build_untrained(self) -> paddle.nn.Layer:
        from trainables.tasks.yolo_network import HeadMaps

        return HeadMaps(self._detector())

    def build_model(self) -> paddle.nn.Layer:
        from trainables.weights import load_weights

        model = self.build_untrained()
        load_weights(model, self.weights)
        return model

    def _detector(self) -> Any:
        from ppdet.core.workspace import create, global_config

        # The toolkit keeps one configuration for the whole process.
        global_config.update(self._config)
        return create(self._config["architecture"])

    @cached_property
    def _head(self) -> Any:
        return self._detector().yolo_head

    def loss(self, outputs: list[paddle.Tensor], targets: dict[str, np.ndarray]) -> paddle.Tensor:
        """Return the sum of the head's losses."""
        import paddle

        tensors = {name: paddle.to_tensor(array) for name, array in targets.items()}
        losses = self._head.loss(outputs, tensors, self._head.anchors)
        total: paddle.Tensor = losses["loss"] if "loss" in losses else sum(losses.values())
        return total

    def train_batches(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """Yield images, mirrored or not, with targets for every map of the head."""
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(self._samples["train"]))
        for start in range(0, len(order) - batch_size + 1, batch_size):
            samples = [self._samples["train"][index] for index in order[start : start + batch_size]]
            loaded = [self._load(sample, bool(rng.random() < 0.5)) for sample in samples]
            images = np.stack([image for image, _ in loaded])
            yield Batch((images,), self._targets(images, [boxes for _, boxes in loaded]))

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
        across, down = side / width, side / height
        boxes = []
        for box in sample.boxes:
            left, right = box.left * across, box.right * across
            if mirrored:
                left, right = side - right, side - left
            boxes.append(Box(box.label, left, box.top * down, right, box.bottom * down, box.hard))
        if mirrored:
            image = np.ascontiguousarray(image[:, :, ::-1])
        return image, boxes

    def _targets(self, images: np.ndarray, boxes: Sequence[Sequence[Box]]) -> dict[str, np.ndarray]:
        from ppdet.data.transform.batch_operators import Gt2YoloTarget

        head = self._config["YOLOv3Head"]
        target = Gt2YoloTarget(
            head["anchors"], head["anchor_masks"], list(self.decoder.strides), self.classes
        )
        samples = []
        for image, wanted in zip(images, boxes, strict=True):
            corners = np.zeros((MOST_BOXES, 4), "float32")
            labels = np.zeros(MOST_BOXES, "int32")
            counted = [box for box in wanted if not box.hard][:MOST_BOXES]
            for row, box in enumerate(counted):
                labels[row] = box.label
                corners[row] = (
                    (box.left + box.right) / 2,
                    (box.top + box.bottom) / 2,
                    box.right - box.left,
                    box.bottom - box.top,
                )
            samples.append(
                {"image": image, "gt_bbox": corners / self.image_size, "gt_class": labels}
            )
        corners_of = np.stack([sample["gt_bbox"] for sample in samples])
        made = target([dict(sample) for sample in samples])
        maps = {
            f"target{i}": np.stack([sample[f"target{i}"] for sample in made]).astype("float32")
            for i in range(len(self.decoder.strides))
        }
        return {"gt_bbox": corners_of, **maps}


def make_task(config_file: str, weights: str, image_size: int = 320) -> PaddleDetectionTask:
    """Return the task; `image_size` is the side of the network's input, a multiple of 32."""
    return PaddleDetectionTask(config_file, weights, image_size)
