"""Classification of a user's own images, by a network of paddle.vision or PaddleClas.

    --task classification -o "task_options={model: mobilenet_v2, weights: best.pdparams,
        data: photos, image_size: 224}"

`data` is a folder with `train_list.txt`, `val_list.txt` and `test_list.txt` in PaddleClas's format,
or with a folder per split that has a folder per class, as ImageNet. Without a test split, half of
each class of val becomes the test split.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from spaces.errors import TaskError
from trainables.data import classification as data_formats
from trainables.data.image_batches import ImageBatches, Preprocessing
from trainables.data.image_input import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    CenterCrop,
    Normalize,
    Preparation,
    Resize,
)
from trainables.data.lines import numbered_lines
from trainables.data.problems import Problems
from trainables.task import SPLITS, ModelInput, Split, TrainingRecipe
from trainables.tasks.image_classifier import AUXILIARY_WEIGHT, ImageClassifier, all_outputs
from trainables.tasks.paddleclas.networks import build_paddleclas

if TYPE_CHECKING:
    import paddle

# Shorter side of the resized image, relative to the evaluated centre crop: ImageNet's convention.
RESIZE_RATIO = 256 / 224


def center_crop_input(side: int) -> ModelInput:
    """Return the input of paddle.vision's classifiers: the centre of the resized image."""
    steps = (
        Resize("shorter_side", round(side * RESIZE_RATIO)),
        CenterCrop(side, side),
        Normalize(),
    )
    return ModelInput(
        "image",
        (3, side, side),
        scale=1 / 255,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        image=Preparation(steps),
    )


def build_network(name: str, classes: int) -> paddle.nn.Layer:
    """Return an untrained network of paddle.vision, or of PaddleClas by its name there."""
    import paddle

    # paddle.vision's functions are lower case. Its classes share names with PaddleClas's networks.
    if not name.islower():
        return build_paddleclas(name, class_num=classes)
    builder = getattr(paddle.vision.models, name, None)
    if not callable(builder):
        raise TaskError(
            f"model {name!r} is unknown; give one of paddle.vision.models, for example "
            "mobilenet_v2, or of PaddleClas, for example ResNet50_vd"
        )
    return builder(num_classes=classes)


class Classification(ImageClassifier):
    """A trained network and a folder of images."""

    name = "classification"

    def __init__(
        self, model: str, weights: str, data: str, image_size: int = 224, batch_size: int = 32
    ) -> None:
        self.model = model
        self.weights = Path(weights)
        self.image_size = image_size
        self.recipe = TrainingRecipe(batch_size=batch_size)
        self.inputs = (center_crop_input(image_size),)
        problems = Problems()
        samples, self.classes = _read(Path(data), problems)
        for split in samples.values():
            data_formats.check_samples(split, problems)
        problems.raise_if_any()
        self._images = ImageBatches(samples, Preprocessing(self.inputs[0]))

    def build_untrained(self) -> paddle.nn.Layer:
        return build_network(self.model, self.classes)

    def loss(self, outputs: paddle.Tensor, targets: paddle.Tensor) -> paddle.Tensor:
        import paddle.nn.functional as F

        main, *auxiliary = (F.cross_entropy(scores, targets) for scores in all_outputs(outputs))
        return main + AUXILIARY_WEIGHT * sum(auxiliary) if auxiliary else main


def _read(
    folder: Path, problems: Problems
) -> tuple[dict[Split, list[data_formats.LabelledImage]], int]:
    """Return the samples of every split, and the number of classes."""
    if not folder.is_dir():
        raise TaskError(
            f"data {folder} is not a folder; name one with a list or a folder per split"
        )
    lists = {split: folder / f"{split}_list.txt" for split in SPLITS}
    if lists["train"].is_file():
        classes = _classes(lists["train"])
        found = {
            split: data_formats.read_list(file, folder, classes, problems)
            for split, file in lists.items()
            if split != "test" or file.exists()
        }
    else:
        names = data_formats.class_names(folder / "train")
        classes = len(names)
        found = {
            split: data_formats.read_folders(folder / split, names, problems)
            for split in SPLITS
            if split != "test" or (folder / split).exists()
        }
    if "test" not in found:
        found["val"], found["test"] = data_formats.halves_by_class(found["val"], "val")
    return found, classes


def _classes(file: Path) -> int:
    """Return the number of classes of a training list: the highest label plus one."""
    labels = [line.rpartition(" ")[2] for _, line in numbered_lines(file)]
    return 1 + max((int(label) for label in labels if label.isdigit()), default=0)


def make_task(
    model: str, weights: str, data: str, image_size: int = 224, batch_size: int = 32
) -> Classification:
    """Return the task; `model` is a network of paddle.vision.models or of PaddleClas, `weights` its
    file, `data` a folder of lists or of folders per class, `image_size` the input's side in pixels,
    `batch_size` that of training."""
    return Classification(model, weights, data, image_size, batch_size)
