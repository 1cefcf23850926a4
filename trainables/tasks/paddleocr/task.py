"""Text detection by DB on MobileNetV3, from PaddleOCR's configuration file and Label.txt.

    --task paddleocr --config-file det_mv3_db.yml --weights best.pdparams

PaddleOCR's wheel lacks its networks and losses. Both are implemented here (db_network.py,
db_loss.py), so the wheel is not needed. Of a distillation configuration, the student is searched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spaces.errors import TaskError
from trainables.data.image_input import Normalize, Preparation, Resize
from trainables.data.images import Pixels, size_if_whole
from trainables.data.preparing import placement, prepare, read_pixels
from trainables.data.problems import Problems
from trainables.data.splitting import halves, remark_split
from trainables.data.text import TextImage, TextRegion, check_samples, read_labels
from trainables.metrics.text_regions import HarmonicMean, RegionFinder
from trainables.remarks import remark
from trainables.task import Batch, Metric, Split, TrainingRecipe
from trainables.tasks.config_file import read_config, section
from trainables.tasks.paddleocr.db_targets import DBTargets, make_targets
from trainables.tasks.paddleocr.images import evaluated_input, omitted_augmentations, transforms

if TYPE_CHECKING:
    import paddle

# Minimum side of a training crop, relative to the largest that fits into the image. A guess.
MIN_CROP_SIDE = 0.5
# Supported components of the network.
COMPONENTS = {"Backbone": "MobileNetV3", "Neck": "DBFPN", "Head": "DBHead"}
# Supported keys of each component: any other changes the network.
KEYS = {
    "Backbone": ("name", "scale", "model_name", "disable_se", "in_channels", "pretrained"),
    "Neck": ("name", "out_channels"),
    "Head": ("name", "k", "fix_nan"),
}


def searched_architecture(config: Mapping[str, Any], file: str) -> dict[str, Any]:
    """Return the searched network's components; of a distillation, its student's.

    Raises TaskError for a network that is not supported.
    """
    architecture = section(config, "Architecture")
    if "Models" in architecture:
        models = section(architecture, "Models")
        if not isinstance(models.get("Student"), Mapping):
            raise TaskError(
                f"config_file {file}: Models has no 'Student' to search; it names "
                f"{', '.join(models) or 'none'}"
            )
        architecture = section(models, "Student")
        remark("of the distillation, Student is searched, and trained on the labels alone")
    for component, name in COMPONENTS.items():
        given = section(architecture, component)
        if given.get("name") != name:
            raise TaskError(
                f"config_file {file}: {component} {given.get('name')!r} cannot be searched; "
                f"{name} can"
            )
        for key in given:
            if key not in KEYS[component]:
                raise TaskError(
                    f"config_file {file}: {component} {name}: key {key!r} is not supported; "
                    f"{', '.join(KEYS[component])} are"
                )
    return architecture


def _loss_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of DB's loss, which may be part of a distillation's."""
    given = section(config, "Loss")
    for entry in given.get("loss_config_list") or ():
        if "DistillationDBLoss" in entry:
            return dict(entry["DistillationDBLoss"] or {})
    return given


class PaddleOCRTask:
    """One text detection configuration of PaddleOCR, with trained weights."""

    name = "paddleocr"
    protected_layers: tuple[str, ...] = ()

    def __init__(
        self, config_file: str, weights: str, image_size: Sequence[int] | None = None
    ) -> None:
        config = read_config(Path(config_file), "PaddleOCR", "Architecture")
        self._architecture = searched_architecture(config, config_file)
        self.weights = Path(weights)
        loader = section(config, "Train", "loader")
        self.recipe = TrainingRecipe(batch_size=int(loader.get("batch_size_per_card", 8)))
        found = section(config, "PostProcess")
        finder = RegionFinder(
            threshold=float(found.get("thresh", 0.3)),
            score_threshold=float(found.get("box_thresh", 0.6)),
            unclip_ratio=float(found.get("unclip_ratio", 1.5)),
        )
        self.metric: Metric = HarmonicMean(finder)
        self._loss_settings = _loss_settings(config)
        problems = Problems()
        train = _read_data(config, "Train", problems)
        held_out = _read_data(config, "Eval", problems)
        sizes = [size_if_whole(sample.image) for sample in held_out]
        if "Test" in config:
            test = _read_data(config, "Test", problems)
        else:
            indices = halves([None] * len(held_out))
            held_out, test = ([held_out[index] for index in half] for half in indices)
            remark_split("Eval", held_out, test, "at random with a fixed seed")
        self._samples = {"train": train, "val": held_out, "test": test}
        for samples in self._samples.values():
            check_samples(samples, problems)
        problems.raise_if_any()
        evaluated = transforms(section(config, "Eval", "dataset"))
        where = f"config_file {config_file}: Eval's"
        spec = evaluated_input(evaluated, where, image_size, [size for size in sizes if size])
        self.inputs = (spec,)
        _, self.height, self.width = spec.shape
        if names := omitted_augmentations(section(config, "Train", "dataset")):
            remark(f"omitted in training: {', '.join(names)}; crops and mirroring are used")

    def build_untrained(self) -> paddle.nn.Layer:
        from trainables.tasks.paddleocr.db_network import DBNetwork

        backbone = section(self._architecture, "Backbone")
        return DBNetwork(
            variant=backbone.get("model_name", "large"),
            scale=float(backbone.get("scale", 0.5)),
            squeeze_excitation=not backbone.get("disable_se", False),
            neck_channels=int(section(self._architecture, "Neck").get("out_channels", 256)),
            sharpness=float(section(self._architecture, "Head").get("k", 50)),
        )

    def build_model(self) -> paddle.nn.Layer:
        from trainables.weights import load_weights

        model = self.build_untrained()
        load_weights(model, self.weights)
        return model

    def loss(self, outputs: paddle.Tensor, targets: DBTargets) -> paddle.Tensor:
        import paddle

        from trainables.tasks.paddleocr.db_loss import DBLoss

        given = self._loss_settings
        uses_dice = given.get("main_loss_type") == "DiceLoss"
        loss = DBLoss(
            alpha=float(given.get("alpha", 5)),
            beta=float(given.get("beta", 10)),
            negative_ratio=None if uses_dice else float(given.get("ohem_ratio", 3)),
        )
        return loss(outputs, DBTargets(*(paddle.to_tensor(array) for array in targets)))

    def exported(self, outputs: paddle.Tensor) -> paddle.Tensor:
        """Return the map of cores, the first of the three in training."""
        return outputs[:, :1]

    def train_batches(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """Yield randomly cropped and mirrored images with the loss's target maps."""
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(self._samples["train"]))
        for start in range(0, len(order) - batch_size + 1, batch_size):
            images, targets = [], []
            for index in order[start : start + batch_size]:
                pixels, regions = self._random_crop(self._samples["train"][index], rng)
                images.append(self._normalized(pixels))
                targets.append(make_targets(regions, self.height, self.width))
            yield Batch(
                (np.stack(images),),
                DBTargets(*(np.stack(maps) for maps in zip(*targets, strict=True))),
            )

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        """Yield a split. Without a section `Test`, half of `Eval` is the test split."""
        samples = self._samples[split]
        for start in range(0, len(samples), batch_size):
            images, regions = [], []
            for sample in samples[start : start + batch_size]:
                pixels = read_pixels(sample.image, self._preparation)
                images.append(prepare(pixels, self.inputs[0]))
                place = placement(self._preparation.steps, *pixels.shape[:2])
                scale = np.array((place.scale_x, place.scale_y))
                regions.append([region.moved((0, 0), scale) for region in sample.regions])
            yield Batch((np.stack(images),), regions)

    def _random_crop(
        self, sample: TextImage, rng: np.random.Generator
    ) -> tuple[Pixels, list[TextRegion]]:
        """Return a crop with the input's aspect ratio, and its regions at the input's size."""
        pixels = read_pixels(sample.image, self._preparation)
        height, width = pixels.shape[:2]
        fitting = min(height / self.height, width / self.width) * rng.uniform(MIN_CROP_SIDE, 1)
        high, wide = max(1, int(self.height * fitting)), max(1, int(self.width * fitting))
        top, left = rng.integers(height - high + 1), rng.integers(width - wide + 1)
        crop = pixels[top : top + high, left : left + wide]
        scale = np.array((self.width / wide, self.height / high))
        regions = [region.moved((left, top), scale) for region in sample.regions]
        if rng.random() < 0.5:
            crop = crop[:, ::-1]
            regions = [
                TextRegion(tuple((self.width - x, y) for x, y in region.points), region.text)
                for region in regions
            ]
        return crop, regions

    @property
    def _preparation(self) -> Preparation:
        assert self.inputs[0].image is not None
        return self.inputs[0].image

    def _normalized(self, pixels: Pixels) -> np.ndarray:
        """Return the input's tensor of pixels resized to its size."""
        size = Resize(height=self.height, width=self.width, library="opencv")
        image = replace(self._preparation, steps=(size, Normalize()))
        return prepare(pixels, replace(self.inputs[0], image=image))


def _read_data(config: Mapping[str, Any], key: str, problems: Problems) -> list[TextImage]:
    dataset = section(config, key, "dataset")
    files = dataset.get("label_file_list") or []
    if not files or "data_dir" not in dataset:
        raise TaskError(f"{key}.dataset needs data_dir and label_file_list; give both")
    root = Path(dataset["data_dir"])
    files = [files] if isinstance(files, str) else files
    return [sample for file in files for sample in read_labels(Path(file), root, problems)]


def make_task(
    config_file: str, weights: str, image_size: Sequence[int] | None = None
) -> PaddleOCRTask:
    """Return the task; `config_file` is the toolkit's, `weights` the trained model's,
    `image_size` height and width of the network's input, multiples of 32."""
    return PaddleOCRTask(config_file, weights, image_size)
