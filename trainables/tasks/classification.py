"""Image classification with your own images, by a model of paddle.vision or of PaddleClas.

    --task classification -o "task_options={model: mobilenet_v2, weights: best.pdparams,
        data: photos, image_size: 224}"

`data` is a folder with either `train_list.txt`, `val_list.txt` and `test_list.txt`, as PaddleClas
writes them, or a folder for each split with a folder a class, as ImageNet comes. Without one for
the test, half of each class of val is the test.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spaces.errors import TaskError
from trainables.data import classification as data_formats
from trainables.data.image_batches import ImageBatches, Preprocessing
from trainables.data.image_input import CenterCrop, Normalize, Preparation, Resize
from trainables.data.lines import numbered_lines
from trainables.data.problems import Problems
from trainables.metrics import TopOneAccuracy
from trainables.task import SPLITS, Batch, ModelInput, Split, TrainingRecipe
from trainables.tasks.paddleclas.networks import build_paddleclas

if TYPE_CHECKING:
    import paddle

# The shorter side is so much longer than the crop that is evaluated.
MARGIN = 256 / 224
# Networks with auxiliary outputs, which count so much in training (Szegedy et al., 2015).
SEVERAL_OUTPUTS, AUXILIARY = ("GoogLeNet", "GoogLeNetDY"), 0.3
# ImageNet's, which nearly all published weights were trained with.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def middle_input(side: int) -> ModelInput:
    """Return the input of paddle.vision's classifiers: the middle of the resized image."""
    steps = (
        Resize("shorter_side", round(side * MARGIN)),
        CenterCrop(side, side),
        Normalize(),
    )
    image = Preparation(steps)
    return ModelInput("image", (3, side, side), scale=1 / 255, mean=MEAN, std=STD, image=image)


def build_network(name: str, classes: int) -> paddle.nn.Layer:
    """Return an untrained network: paddle.vision's, or PaddleClas's by its name there."""
    import paddle

    # paddle.vision's functions; its classes have names that PaddleClas gives its networks.
    if not name.islower():
        return build_paddleclas(name, class_num=classes)
    builder = getattr(paddle.vision.models, name, None)
    if not callable(builder):
        raise TaskError(
            f"model {name!r} is unknown; give one of paddle.vision.models, for example "
            "mobilenet_v2, or of PaddleClas, for example ResNet50_vd"
        )
    return builder(num_classes=classes)


def every_output(outputs: paddle.Tensor | Sequence[paddle.Tensor]) -> Sequence[paddle.Tensor]:
    """Return the scores of every output, the main one first."""
    return outputs if isinstance(outputs, list | tuple) else (outputs,)


def one_output(network: paddle.nn.Layer) -> paddle.nn.Layer:
    """Return the network, evaluated by its first output alone; in training it gives all.

    It is the same object, so its layers keep their names.
    """
    kind = type(network)

    class FirstOutput(kind):  # type: ignore[valid-type, misc]
        def forward(self, x: paddle.Tensor) -> Any:
            outputs = kind.forward(self, x)
            if self.training:
                return outputs
            return outputs[0]

    network.__class__ = FirstOutput
    return network


class ImageClassifier:
    """What tasks of images with a class each have in common."""

    metric = TopOneAccuracy()
    protected_layers: tuple[str, ...] = ()
    weights: Path
    _images: ImageBatches

    def build_untrained(self) -> paddle.nn.Layer:
        raise NotImplementedError

    def build_model(self) -> paddle.nn.Layer:
        from trainables.weights import load_weights

        network = self.build_untrained()
        load_weights(network, self.weights)
        return one_output(network) if type(network).__name__ in SEVERAL_OUTPUTS else network

    def train_batches(self, batch_size: int, seed: int) -> Iterator[Batch]:
        return self._images.train(batch_size, seed)

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        return self._images.evaluated(split, batch_size)


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
        self.inputs = (middle_input(image_size),)
        shown = Preprocessing(self.inputs[0])
        problems = Problems()
        samples, self.classes = _read(Path(data), problems)
        for split in samples.values():
            data_formats.check_samples(split, problems)
        problems.raise_if_any()
        self._images = ImageBatches(samples, shown)

    def build_untrained(self) -> paddle.nn.Layer:
        return build_network(self.model, self.classes)

    def loss(self, outputs: paddle.Tensor, targets: paddle.Tensor) -> paddle.Tensor:
        import paddle.nn.functional as F

        main, *auxiliary = (F.cross_entropy(scores, targets) for scores in every_output(outputs))
        return main + AUXILIARY * sum(auxiliary) if auxiliary else main


def _read(
    folder: Path, problems: Problems
) -> tuple[dict[Split, list[data_formats.LabelledImage]], int]:
    """Return the samples of every split, and how many classes there are."""
    if not folder.is_dir():
        raise TaskError(f"data {folder} is not a folder; name one with a list or a folder a split")
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
    """Return how many classes a training list has: the highest label and those below it."""
    labels = [line.rpartition(" ")[2] for _, line in numbered_lines(file)]
    return 1 + max((int(label) for label in labels if label.isdigit()), default=0)


def make_task(
    model: str, weights: str, data: str, image_size: int = 224, batch_size: int = 32
) -> Classification:
    """Return the task; `model` is a network of paddle.vision.models, or of PaddleClas by its name
    there, `weights` its file, `data` a folder of lists or of folders a class, `image_size` the side
    of the input in pixels, `batch_size` of the training."""
    return Classification(model, weights, data, image_size, batch_size)
