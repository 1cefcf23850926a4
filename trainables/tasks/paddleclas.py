"""PaddleClas's own models, from its own configuration file and its lists of images.

    --task paddleclas --config-file ResNet50_vd.yaml --weights model.pdparams

Its wheel has the networks alone. Data, loss and metric are read from the configuration and written
here: lists of images, crops and mirror images, cross entropy with its smoothing, top-1. Stronger
augmentations of training (AutoAugment, Mixup) are left out: fine-tuning is short.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spaces.errors import TaskError
from trainables.data.classification import LabelledImage, check_samples, read_list
from trainables.data.image_batches import ImageBatches, Preprocessing
from trainables.data.problems import Problems
from trainables.task import Split, TrainingRecipe
from trainables.tasks.classification import ImageClassifier
from trainables.tasks.config_file import read_config, section
from trainables.tasks.paddleclas_networks import build_paddleclas

if TYPE_CHECKING:
    import paddle

DATA_SETS = ("ImageNetDataset", "CommonDataset")
# What an image may go through before it is evaluated; another one would change the metric.
KNOWN = ("DecodeImage", "ResizeImage", "CropImage", "NormalizeImage", "ToCHWImage")
# Cross entropy, also under the name that it has where Mixup blends labels.
LOSSES = ("CELoss", "MixCELoss")
# What its configurations leave out.
BATCH, CLASSES, SIDE, SHARES = 32, 1000, 224, (0.08, 1.0)


class PaddleClasTask(ImageClassifier):
    """One classification configuration of PaddleClas, with trained weights.

    Without a part `Test`, every other image of `Eval` is the test.
    """

    name = "paddleclas"

    def __init__(self, config_file: str, weights: str, image_size: int | None = None) -> None:
        config = read_config(Path(config_file), "PaddleClas", "Arch")
        self._architecture = section(config, "Arch")
        for part in ("pretrained", "use_sync_bn"):
            # All weights come from one file, and each trial has a device.
            self._architecture.pop(part, None)
        self.weights = Path(weights)
        self._losses = _losses(config, config_file)
        loader = section(config, "DataLoader", "Train")
        batch = section(loader, "sampler").get("batch_size", BATCH)
        self.recipe = TrainingRecipe(batch_size=int(batch))
        shown = _preprocessing(config, config_file, image_size)
        self.inputs = (shown.input,)
        self._images = ImageBatches(self._read_samples(config, config_file), shown)

    def _read_samples(
        self, config: Mapping[str, Any], config_file: str
    ) -> dict[Split, list[LabelledImage]]:
        """Return the samples of every split. Raises DataError for what is missing or damaged."""
        classes = int(self._architecture.get("class_num", CLASSES))
        problems = Problems()
        train, held_out = (
            _listed(config, config_file, key, classes, problems) for key in ("Train", "Eval")
        )
        if section(config, "DataLoader", "Test"):
            test = _listed(config, config_file, "Test", classes, problems)
        else:
            held_out, test = held_out[::2], held_out[1::2]
        samples: dict[Split, list[LabelledImage]] = {"train": train, "val": held_out, "test": test}
        for split in samples.values():
            check_samples(split, problems)
        problems.raise_if_any()
        return samples

    def build_untrained(self) -> paddle.nn.Layer:
        settings = dict(self._architecture)
        return build_paddleclas(settings.pop("name", ""), **settings)

    def loss(self, outputs: paddle.Tensor, targets: paddle.Tensor) -> paddle.Tensor:
        """Return the weighted sum of the configuration's losses."""
        import paddle.nn.functional as F

        total = 0.0
        for weight, smoothing in self._losses:
            # Smoothed labels, of shape (samples, classes) (Szegedy et al., 2016).
            likely = F.label_smooth(F.one_hot(targets[:, 0], outputs.shape[-1]), epsilon=smoothing)
            total = total + weight * F.cross_entropy(outputs, likely, soft_label=True)
        return total


def _losses(config: Mapping[str, Any], file: str) -> list[tuple[float, float]]:
    """Return the weight and the smoothing of each loss of training."""
    given = section(config, "Loss").get("Train") or [{"CELoss": {}}]
    found = []
    for name, settings in (item for entry in given for item in entry.items()):
        if name not in LOSSES:
            raise TaskError(f"config_file {file}: loss {name!r} cannot be trained with; CELoss can")
        settings = settings or {}
        found.append((float(settings.get("weight", 1.0)), float(settings.get("epsilon") or 0.0)))
    return found


def _transforms(config: Mapping[str, Any], split: str) -> dict[str, dict[str, Any]]:
    """Return the settings of a split's transforms by their names."""
    given = section(config, "DataLoader", split, "dataset").get("transform_ops") or []
    return {name: settings or {} for entry in given for name, settings in entry.items()}


def _quotient(written: object) -> float:
    """Return a number that may be written as a quotient, as scales are there; nan if it is none."""
    above, _, below = str(written).partition("/")
    try:
        return float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        return math.nan


def _preprocessing(config: Mapping[str, Any], file: str, image_size: int | None) -> Preprocessing:
    """Return what images go through, from the transforms of both splits."""
    evaluated, trained = _transforms(config, "Eval"), _transforms(config, "Train")
    for name in evaluated:
        if name not in KNOWN:
            raise TaskError(
                f"config_file {file}: Eval's {name} is not known here; {', '.join(KNOWN)} are"
            )
    if not evaluated.get("DecodeImage", {}).get("to_rgb", True):
        raise TaskError(f"config_file {file}: Eval's images are BGR; only to_rgb: true can be had")
    normalize = evaluated.get("NormalizeImage", {})
    if not math.isclose(_quotient(normalize.get("scale") or "1/255"), 1 / 255, rel_tol=1e-3):
        raise TaskError(
            f"config_file {file}: scale {normalize['scale']!r} is not 1.0/255.0; give that, with "
            "mean and std as shares of the range"
        )
    resize = evaluated.get("ResizeImage", {})
    crop = evaluated.get("CropImage", {}).get("size") or resize.get("size") or SIDE
    # There a width comes first.
    width, height = (crop, crop) if isinstance(crop, int) else crop
    shorter = resize.get("resize_short")
    if image_size is not None:
        shorter = shorter and round(shorter * image_size / min(height, width))
        height = width = image_size
    cut = trained.get("RandCropImage", {})
    return Preprocessing(
        (int(height), int(width)),
        mean=tuple(normalize.get("mean") or Preprocessing.mean),
        std=tuple(normalize.get("std") or Preprocessing.std),
        shorter_side=shorter,
        shares=tuple(cut.get("scale") or SHARES) if cut else None,
        aspects=tuple(cut.get("ratio") or Preprocessing.aspects),
        mirrors=trained.get("RandFlipImage", {}).get("flip_code") == 1,
    )


def _listed(
    config: Mapping[str, Any], file: str, key: str, classes: int, problems: Problems
) -> list[LabelledImage]:
    """Return the samples that a split's list names."""
    dataset = section(config, "DataLoader", key, "dataset")
    if dataset.get("name") not in DATA_SETS:
        raise TaskError(
            f"config_file {file}: {key}'s data set {dataset.get('name')!r} cannot be read; "
            f"{' and '.join(DATA_SETS)} can"
        )
    if not (dataset.get("image_root") and dataset.get("cls_label_path")):
        raise TaskError(
            f"config_file {file}: {key}'s data set needs image_root and cls_label_path; give both"
        )
    root, lists = Path(dataset["image_root"]), Path(dataset["cls_label_path"])
    return read_list(lists, root, classes, problems, dataset.get("delimiter") or " ")


def make_task(config_file: str, weights: str, image_size: int | None = None) -> PaddleClasTask:
    """Return the task; `image_size` is the side of what the model is given, in pixels."""
    return PaddleClasTask(config_file, weights, image_size)
