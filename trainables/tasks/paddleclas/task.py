"""PaddleClas's classifiers, from its configuration file and lists of images.

    --task paddleclas --config-file ResNet50_vd.yaml --weights model.pdparams

PaddleClas's wheel has only the networks. The rest of the configuration is implemented here: lists
of images, their preprocessing (images.py), crops and mirroring, cross entropy with label smoothing,
top-1. Stronger training augmentations (AutoAugment, Mixup) are omitted, as fine-tuning is short,
and named in the run's first lines. Of a distillation configuration, the student is searched.
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
from trainables.tasks.config_file import read_config, section
from trainables.tasks.image_classifier import AUXILIARY_WEIGHT, ImageClassifier, all_outputs
from trainables.tasks.paddleclas.images import omitted_augmentations, preprocessing
from trainables.tasks.paddleclas.networks import build_paddleclas

if TYPE_CHECKING:
    import paddle

DATA_SETS = ("ImageNetDataset", "CommonDataset", "MultiScaleDataset")
# Supported keys of a data set; `batch_transform_ops` are omitted with a remark.
DATA_KEYS = (
    *("name", "image_root", "cls_label_path", "delimiter"),
    *("transform_ops", "batch_transform_ops", "relabel"),
)
# Supported losses: cross entropy, and its names for labels blended by Mixup and for networks with
# auxiliary outputs.
LOSSES = ("CELoss", "MixCELoss", "GoogLeNetLoss")
# Keys of an architecture that are not settings of its network.
UNUSED = (
    *("pretrained", "use_sync_bn", "use_ml_decoder", "infer_output_key", "infer_add_softmax"),
    *("return_patterns", "return_stages", "use_ssld", "use_ssld_stage1_pretrained"),
)
# The toolkit's batch size for a configuration without one.
DEFAULT_BATCH_SIZE = 32
# The networks' number of classes for a configuration without one: ImageNet's.
DEFAULT_CLASSES = 1000


class PaddleClasTask(ImageClassifier):
    """One classification configuration of PaddleClas, with trained weights.

    Without a section `Test`, half of each class of `Eval` becomes the test split.
    """

    name = "paddleclas"

    def __init__(self, config_file: str, weights: str, image_size: int | None = None) -> None:
        config = read_config(Path(config_file), "PaddleClas", "Arch")
        self._architecture = _searched(config, config_file)
        self.weights = Path(weights)
        is_distilled = section(config, "Arch").get("name") == "DistillationModel"
        self._losses = [(1.0, 0.0)] if is_distilled else _losses(config, config_file)
        sampler = section(config, "DataLoader", "Train", "sampler")
        batch = sampler.get("batch_size") or sampler.get("first_bs") or DEFAULT_BATCH_SIZE
        self.recipe = TrainingRecipe(batch_size=int(batch))
        how = preprocessing(config, config_file, image_size)
        self.inputs = (how.input,)
        if names := omitted_augmentations(config):
            remark(f"omitted in training: {', '.join(names)}; crops and mirroring are used")
        self._images = ImageBatches(self._read_samples(config, config_file), how)

    def _read_samples(
        self, config: Mapping[str, Any], config_file: str
    ) -> dict[Split, list[LabelledImage]]:
        """Return the samples of every split. Raises DataError for missing or damaged data."""
        classes = int(self._architecture.get("class_num", DEFAULT_CLASSES))
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
            for index, scores in enumerate(all_outputs(outputs)):
                # Smoothed labels, shape (samples, classes) (Szegedy et al., CVPR 2016).
                one_hot = F.one_hot(targets[:, 0], scores.shape[-1])
                labels = F.label_smooth(one_hot, epsilon=smoothing)
                factor = weight * (AUXILIARY_WEIGHT if index else 1.0)
                total = total + factor * F.cross_entropy(scores, labels, soft_label=True)
        return total


def _losses(config: Mapping[str, Any], file: str) -> list[tuple[float, float]]:
    """Return the weight and the label smoothing of each training loss."""
    given = section(config, "Loss").get("Train") or [{"CELoss": {}}]
    found = []
    for name, settings in (item for entry in given for item in entry.items()):
        if name not in LOSSES:
            raise TaskError(f"config_file {file}: loss {name!r} is not supported; CELoss is")
        settings = settings or {}
        found.append((float(settings.get("weight", 1.0)), float(settings.get("epsilon") or 0.0)))
    return found


def _searched(config: Mapping[str, Any], file: str) -> dict[str, Any]:
    """Return the settings of the searched network; of a distillation, its student's."""
    architecture = section(config, "Arch")
    name = architecture.get("name")
    if name in ("RecModel", "AttentionModel"):
        raise TaskError(
            f"config_file {file}: Arch {name!r} is not a classifier; a network of PaddleClas or a "
            "DistillationModel can be searched"
        )
    if name == "DistillationModel":
        student = architecture.get("infer_model_name") or "Student"
        models = {
            key: model for entry in architecture.get("models") or [] for key, model in entry.items()
        }
        if not isinstance(models.get(student), Mapping):
            raise TaskError(
                f"config_file {file}: Arch has no model {student!r}; it names "
                f"{', '.join(models) or 'none'}"
            )
        architecture = dict(models[student])
        if architecture.get("name") == "AttentionModel":
            # The first is the network, the others compute the distillation loss.
            architecture = dict(next(iter((architecture["models"] or [{}])[0].values())))
        remark(
            f"of the distillation, {student} ({architecture.get('name')}) is searched, and trained "
            "with cross entropy on the labels"
        )
    if architecture.get("use_ml_decoder"):
        raise TaskError(f"config_file {file}: Arch's use_ml_decoder is not supported; remove it")
    return {key: value for key, value in architecture.items() if key not in UNUSED}


def _listed(
    config: Mapping[str, Any], file: str, key: str, classes: int, problems: Problems
) -> list[LabelledImage]:
    """Return the samples in a split's list."""
    dataset = section(config, "DataLoader", key, "dataset")
    if dataset.get("name") not in DATA_SETS:
        raise TaskError(
            f"config_file {file}: {key}'s data set {dataset.get('name')!r} cannot be read; "
            f"{', '.join(DATA_SETS)} can"
        )
    for name in dataset:
        if name not in DATA_KEYS or (name == "relabel" and dataset[name]):
            raise TaskError(
                f"config_file {file}: {key}'s data set has {name!r}, which is not supported; "
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
    `image_size` the side of the model's input in pixels."""
    return PaddleClasTask(config_file, weights, image_size)
