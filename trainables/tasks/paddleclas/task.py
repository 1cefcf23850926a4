"""PaddleClas's own models, from its own configuration file and its lists of images.

    --task paddleclas --config-file ResNet50_vd.yaml --weights model.pdparams

Its wheel has the networks alone. Data, loss and metric are read from the configuration and written
here: lists of images, what the evaluation does to them (paddleclas_images.py), crops and mirror
images, cross entropy with its smoothing, top-1. Stronger augmentations of training (AutoAugment,
Mixup) are left out, and named in a run's first lines: fine-tuning is short. Of a distillation the
student is searched.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spaces.errors import TaskError
from trainables.data.classification import (
    LabelledImage,
    check_samples,
    halves_by_class,
    read_list,
)
from trainables.data.image_batches import ImageBatches
from trainables.data.problems import Problems
from trainables.remarks import remark
from trainables.task import Split, TrainingRecipe
from trainables.tasks.classification import AUXILIARY, ImageClassifier, every_output
from trainables.tasks.config_file import read_config, section
from trainables.tasks.paddleclas.images import left_out, preprocessing
from trainables.tasks.paddleclas.networks import build_paddleclas

if TYPE_CHECKING:
    import paddle

DATA_SETS = ("ImageNetDataset", "CommonDataset", "MultiScaleDataset")
# The keys of a data set that are read; `batch_transform_ops` are left out with a remark.
DATA_KEYS = (
    *("name", "image_root", "cls_label_path", "delimiter"),
    *("transform_ops", "batch_transform_ops", "relabel"),
)
# Cross entropy, also under the names that it has where Mixup blends labels, and where a network
# has auxiliary outputs in training.
LOSSES = ("CELoss", "MixCELoss", "GoogLeNetLoss")
# What of an architecture is not the network's.
UNUSED = (
    *("pretrained", "use_sync_bn", "use_ml_decoder", "infer_output_key", "infer_add_softmax"),
    *("return_patterns", "return_stages", "use_ssld", "use_ssld_stage1_pretrained"),
)
# What its configurations leave out.
BATCH, CLASSES = 32, 1000


class PaddleClasTask(ImageClassifier):
    """One classification configuration of PaddleClas, with trained weights.

    Without a part `Test`, half of each class of `Eval` is the test.
    """

    name = "paddleclas"

    def __init__(self, config_file: str, weights: str, image_size: int | None = None) -> None:
        config = read_config(Path(config_file), "PaddleClas", "Arch")
        self._architecture = _searched(config, config_file)
        self.weights = Path(weights)
        is_distilled = section(config, "Arch").get("name") == "DistillationModel"
        self._losses = [(1.0, 0.0)] if is_distilled else _losses(config, config_file)
        sampler = section(config, "DataLoader", "Train", "sampler")
        batch = sampler.get("batch_size") or sampler.get("first_bs") or BATCH
        self.recipe = TrainingRecipe(batch_size=int(batch))
        shown = preprocessing(config, config_file, image_size)
        self.inputs = (shown.input,)
        if names := left_out(config):
            remark(f"left out of training: {', '.join(names)}; crops and mirror images are used")
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
            held_out, test = halves_by_class(held_out, "Eval")
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
            for place, scores in enumerate(every_output(outputs)):
                # Smoothed labels, of shape (samples, classes) (Szegedy et al., 2016).
                hot = F.one_hot(targets[:, 0], scores.shape[-1])
                likely = F.label_smooth(hot, epsilon=smoothing)
                share = AUXILIARY if place else 1.0
                total = total + weight * share * F.cross_entropy(scores, likely, soft_label=True)
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


def _searched(config: Mapping[str, Any], file: str) -> dict[str, Any]:
    """Return the settings of the network that is searched; of a distillation, its student's."""
    architecture = section(config, "Arch")
    name = architecture.get("name")
    if name in ("RecModel", "AttentionModel"):
        raise TaskError(
            f"config_file {file}: Arch {name!r} is no classifier; a network of PaddleClas, or a "
            "DistillationModel, can be searched"
        )
    if name == "DistillationModel":
        student = architecture.get("infer_model_name") or "Student"
        models = {
            key: of for entry in architecture.get("models") or [] for key, of in entry.items()
        }
        if not isinstance(models.get(student), Mapping):
            raise TaskError(
                f"config_file {file}: Arch has no model {student!r}; it names "
                f"{', '.join(models) or 'none'}"
            )
        architecture = dict(models[student])
        if architecture.get("name") == "AttentionModel":
            # A network, and then what makes the distillation's loss of its features.
            architecture = dict(next(iter((architecture["models"] or [{}])[0].values())))
        remark(
            f"of the distillation, {student} ({architecture.get('name')}) is searched, and trained "
            "by cross entropy on the labels"
        )
    if architecture.get("use_ml_decoder"):
        raise TaskError(f"config_file {file}: Arch's use_ml_decoder cannot be had; remove it")
    # All weights come from one file, each trial has a device, and the outputs are those of Arch.
    return {key: of for key, of in architecture.items() if key not in UNUSED}


def _listed(
    config: Mapping[str, Any], file: str, key: str, classes: int, problems: Problems
) -> list[LabelledImage]:
    """Return the samples that a split's list names."""
    dataset = section(config, "DataLoader", key, "dataset")
    if dataset.get("name") not in DATA_SETS:
        raise TaskError(
            f"config_file {file}: {key}'s data set {dataset.get('name')!r} cannot be read; "
            f"{', '.join(DATA_SETS)} can"
        )
    for name in dataset:
        if name not in DATA_KEYS or (name == "relabel" and dataset[name]):
            raise TaskError(
                f"config_file {file}: {key}'s data set has {name!r}, which is not known here; "
                "remove it"
            )
    if not (dataset.get("image_root") and dataset.get("cls_label_path")):
        raise TaskError(
            f"config_file {file}: {key}'s data set needs image_root and cls_label_path; give both"
        )
    root, lists = Path(dataset["image_root"]), Path(dataset["cls_label_path"])
    return read_list(lists, root, classes, problems, dataset.get("delimiter") or " ")


def make_task(config_file: str, weights: str, image_size: int | None = None) -> PaddleClasTask:
    """Return the task; `config_file` is the toolkit's, `weights` the trained model's,
    `image_size` the side of what the model is given, in pixels."""
    return PaddleClasTask(config_file, weights, image_size)
