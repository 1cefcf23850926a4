"""Image classification with your own images, by a model of paddle.vision or of PaddleClas.

    --task classification -o "task_options={model: mobilenet_v2, weights: best.pdparams,
        data: photos, image_size: 224}"

`data` is a folder with either `train_list.txt`, `val_list.txt` and `test_list.txt`, as PaddleClas
writes them, or a folder for each split with a folder a class, as ImageNet comes.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from spaces.errors import TaskError
from trainables.data import classification as data_formats
from trainables.data.images import READERS, Pixels, normalized, read_image
from trainables.data.lines import numbered_lines
from trainables.data.problems import Problems
from trainables.metrics import TopOneAccuracy
from trainables.task import SPLITS, Batch, ModelInput, Split, TrainingRecipe

if TYPE_CHECKING:
    import paddle

# ImageNet's, which nearly all published weights were trained with.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# The shorter side is so much longer than the crop that is evaluated.
MARGIN = 256 / 224
# Training crops show this share of an image at least, and its sides may be so far apart.
LEAST_SHARE, ASPECT = 0.25, 4 / 3

# PaddleClas's names, and where its wheel has them.
PADDLECLAS = {
    "ResNet50_vd": "ppcls.arch.backbone.legendary_models.resnet",
    "MobileNetV1": "ppcls.arch.backbone.legendary_models.mobilenet_v1",
    "MobileNetV2": "ppcls.arch.backbone.model_zoo.mobilenet_v2",
    "MobileNetV3_large_x1_0": "ppcls.arch.backbone.legendary_models.mobilenet_v3",
    "MobileNetV3_small_x1_0": "ppcls.arch.backbone.legendary_models.mobilenet_v3",
}


def build_network(name: str, classes: int) -> paddle.nn.Layer:
    """Return an untrained network: paddle.vision's by its name there, PaddleClas's by its."""
    import paddle

    if name in PADDLECLAS:
        found = importlib.util.find_spec("paddleclas")
        if found is None or not found.submodule_search_locations:
            raise TaskError(
                f"model {name!r} needs PaddleClas, which is not installed; "
                'pip install --no-deps "paddleclas==2.6.0" prettytable wcwidth'
            )
        # Its modules import each other from inside that folder, as scripts do.
        folder = found.submodule_search_locations[0]
        if folder not in sys.path:
            sys.path.append(folder)
        importlib.import_module("ppcls.utils.logger").init_logger()
        return getattr(importlib.import_module(PADDLECLAS[name]), name)(class_num=classes)
    builder = getattr(paddle.vision.models, name, None)
    if not callable(builder):
        raise TaskError(
            f"model {name!r} is unknown; give one of paddle.vision.models, for example "
            f"mobilenet_v2, or of PaddleClas: {', '.join(PADDLECLAS)}"
        )
    return builder(num_classes=classes)


class Classification:
    """A trained network and a folder of images."""

    name = "classification"
    metric = TopOneAccuracy()
    protected_layers: tuple[str, ...] = ()

    def __init__(
        self, model: str, weights: str, data: str, image_size: int = 224, batch_size: int = 32
    ) -> None:
        self.model = model
        self.weights = Path(weights)
        self.image_size = image_size
        self.recipe = TrainingRecipe(batch_size=batch_size)
        self.inputs = (
            ModelInput("image", (3, image_size, image_size), scale=1 / 255, mean=MEAN, std=STD),
        )
        problems = Problems()
        self.samples, self.classes = _read(Path(data), problems)
        for samples in self.samples.values():
            data_formats.check_samples(samples, problems)
        problems.raise_if_any()

    def build_untrained(self) -> paddle.nn.Layer:
        return build_network(self.model, self.classes)

    def build_model(self) -> paddle.nn.Layer:
        from trainables.weights import load_weights

        network = self.build_untrained()
        load_weights(network, self.weights)
        return network

    def train_batches(self, batch_size: int, seed: int) -> Iterator[Batch]:
        samples = self.samples["train"]
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(samples))
        for start in range(0, len(order) - batch_size + 1, batch_size):
            chosen = [samples[index] for index in order[start : start + batch_size]]
            seeds = rng.integers(2**63, size=batch_size)
            yield self._batch(chosen, [np.random.default_rng(one) for one in seeds])

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        samples = self.samples[split]
        for start in range(0, len(samples), batch_size):
            chosen = samples[start : start + batch_size]
            yield self._batch(chosen, [None] * len(chosen))

    def _batch(
        self,
        samples: Sequence[data_formats.LabelledImage],
        rngs: Sequence[np.random.Generator | None],
    ) -> Batch:
        """Return the samples' images, each cropped by its generator or, without one, centred."""
        with ThreadPoolExecutor(READERS) as pool:
            images = list(pool.map(self._image, [sample.image for sample in samples], rngs))
        labels = np.array([[sample.label] for sample in samples], "int64")
        return Batch((np.stack(images),), labels)

    def _image(self, path: Path, rng: np.random.Generator | None) -> np.ndarray:
        pixels = read_image(path)
        if rng is None:
            pixels = centred(pixels, self.image_size)
        else:
            pixels = random_crop(pixels, self.image_size, rng)
        return normalized(pixels, MEAN, STD)

    def loss(self, outputs: paddle.Tensor, targets: paddle.Tensor) -> paddle.Tensor:
        import paddle.nn.functional as F

        return F.cross_entropy(outputs, targets)


def centred(pixels: Pixels, side: int) -> Pixels:
    """Return the middle of an image, shape (side, side, 3), nearly all of its shorter side."""
    height, width = pixels.shape[:2]
    scale = side * MARGIN / min(height, width)
    size = max(side, round(width * scale)), max(side, round(height * scale))
    resized = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
    top, left = (resized.shape[0] - side) // 2, (resized.shape[1] - side) // 2
    return resized[top : top + side, left : left + side]


def random_crop(pixels: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    """Return a part of an image, shape (side, side, 3), mirrored or not (Szegedy et al., 2015)."""
    height, width = pixels.shape[:2]
    area = height * width * rng.uniform(LEAST_SHARE, 1)
    aspect = np.exp(rng.uniform(-np.log(ASPECT), np.log(ASPECT)))
    wide = min(width, max(1, round((area * aspect) ** 0.5)))
    high = min(height, max(1, round((area / aspect) ** 0.5)))
    left, top = rng.integers(width - wide + 1), rng.integers(height - high + 1)
    crop = Image.fromarray(pixels[top : top + high, left : left + wide])
    resized = np.asarray(crop.resize((side, side), Image.Resampling.BILINEAR))
    return resized[:, ::-1] if rng.random() < 0.5 else resized


def _read(
    folder: Path, problems: Problems
) -> tuple[dict[Split, list[data_formats.LabelledImage]], int]:
    """Return the samples of every split, and how many classes there are."""
    if not folder.is_dir():
        raise TaskError(f"data {folder} is not a folder; name one with a list or a folder a split")
    lists = {split: folder / f"{split}_list.txt" for split in SPLITS}
    if lists["train"].is_file():
        classes = _classes(lists["train"])
        return {
            split: data_formats.read_list(file, folder, classes, problems)
            for split, file in lists.items()
        }, classes
    names = data_formats.class_names(folder / "train")
    return {
        split: data_formats.read_folders(folder / split, names, problems) for split in SPLITS
    }, len(names)


def _classes(file: Path) -> int:
    """Return how many classes a training list has: the highest label and those below it."""
    labels = [line.rpartition(" ")[2] for _, line in numbered_lines(file)]
    return 1 + max((int(label) for label in labels if label.isdigit()), default=0)


def make_task(
    model: str, weights: str, data: str, image_size: int = 224, batch_size: int = 32
) -> Classification:
    """Return the task; `data` is a folder of lists or of folders, `image_size` in pixels."""
    return Classification(model, weights, data, image_size, batch_size)
