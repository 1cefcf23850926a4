"""Text detection by DB on MobileNetV3, from PaddleOCR's own configuration file and Label.txt.

    --task paddleocr --config-file det_mv3_db.yml --weights best.pdparams

PaddleOCR's wheel has neither its networks nor its losses: both are written here (db_network.py,
db_loss.py), so it need not be installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from spaces.errors import TaskError
from trainables.data.images import Pixels, normalized, read_image
from trainables.data.problems import Problems
from trainables.data.splitting import halves, remark_split
from trainables.data.text import TextImage, TextRegion, check_samples, read_labels
from trainables.task import Batch, Metric, ModelInput, Split, TrainingRecipe
from trainables.tasks.config_file import read_config, section
from trainables.tasks.db_targets import DBTargets, make_targets
from trainables.text_regions import HarmonicMean, RegionFinder

if TYPE_CHECKING:
    import paddle

# What its configurations take off each channel, in the order blue, green, red.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SIDE = 736
# A training crop shows at least this share of each side of what fits into an image.
LEAST_SHARE = 0.5
PROVIDED = {"Backbone": "MobileNetV3", "Neck": "DBFPN", "Head": "DBHead"}


def _transform(dataset: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the settings of one of a data set's transforms."""
    for transform in dataset.get("transforms") or ():
        if name in transform:
            return dict(transform[name] or {})
    return {}


class PaddleOCRTask:
    """One text detection configuration of PaddleOCR, with trained weights."""

    name = "paddleocr"
    protected_layers: tuple[str, ...] = ()

    def __init__(
        self, config_file: str, weights: str, image_size: Sequence[int] | None = None
    ) -> None:
        config = read_config(Path(config_file), "PaddleOCR", "Architecture")
        self._architecture = section(config, "Architecture")
        for piece, name in PROVIDED.items():
            given = section(self._architecture, piece).get("name")
            if given != name:
                raise TaskError(
                    f"config_file {config_file}: {piece} {given!r} cannot be searched; {name} can"
                )
        self.weights = Path(weights)
        evaluated = section(config, "Eval", "dataset")
        shape = image_size or _transform(evaluated, "DetResizeForTest").get("image_shape")
        self.height, self.width = (int(side) for side in shape or (SIDE, SIDE))
        if self.height % 32 or self.width % 32:
            raise TaskError(
                f"image_size {self.height} x {self.width}: both sides must be multiples of 32"
            )
        loader = section(config, "Train", "loader")
        self.recipe = TrainingRecipe(batch_size=int(loader.get("batch_size_per_card", 8)))
        self.inputs = (
            ModelInput(
                "image",
                (3, self.height, self.width),
                scale=1 / 255,
                mean=MEAN,
                std=STD,
                channel_order="BGR",
            ),
        )
        found = section(config, "PostProcess")
        finder = RegionFinder(
            threshold=float(found.get("thresh", 0.3)),
            least_score=float(found.get("box_thresh", 0.6)),
            grow=float(found.get("unclip_ratio", 1.5)),
        )
        self.metric: Metric = HarmonicMean(finder)
        self._loss_settings = section(config, "Loss")
        problems = Problems()
        train = _read_data(config, "Train", problems)
        held_out = _read_data(config, "Eval", problems)
        if "Test" in config:
            test = _read_data(config, "Test", problems)
        else:
            validation, places = halves([None] * len(held_out))
            test = [held_out[place] for place in places]
            held_out = [held_out[place] for place in validation]
            remark_split("Eval", held_out, test, "by chance, always alike")
        self._samples = {"train": train, "val": held_out, "test": test}
        for samples in self._samples.values():
            check_samples(samples, problems)
        problems.raise_if_any()

    def build_untrained(self) -> paddle.nn.Layer:
        from trainables.tasks.db_network import DBNetwork

        backbone = section(self._architecture, "Backbone")
        return DBNetwork(
            variant=backbone.get("model_name", "large"),
            scale=float(backbone.get("scale", 0.5)),
            gated=not backbone.get("disable_se", False),
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

        from trainables.tasks.db_loss import DBLoss

        given = self._loss_settings
        by_overlap = given.get("main_loss_type") == "DiceLoss"
        loss = DBLoss(
            alpha=float(given.get("alpha", 5)),
            beta=float(given.get("beta", 10)),
            negatives=0.0 if by_overlap else float(given.get("ohem_ratio", 3)),
        )
        return loss(outputs, DBTargets(*(paddle.to_tensor(array) for array in targets)))

    def train_batches(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """Yield parts of images, mirrored or not, with the maps that the network is to give."""
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(self._samples["train"]))
        for start in range(0, len(order) - batch_size + 1, batch_size):
            images, targets = [], []
            for index in order[start : start + batch_size]:
                pixels, regions = self._randompart(self._samples["train"][index], rng)
                images.append(self._normalized(pixels))
                targets.append(make_targets(regions, self.height, self.width))
            yield Batch(
                (np.stack(images),),
                DBTargets(*(np.stack(maps) for maps in zip(*targets, strict=True))),
            )

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        """Yield a split. Without a part `Test`, half of `Eval` is the test."""
        samples = self._samples[split]
        for start in range(0, len(samples), batch_size):
            images, regions = [], []
            for sample in samples[start : start + batch_size]:
                pixels = read_image(sample.image)
                height, width = pixels.shape[:2]
                scale = np.array((self.width / width, self.height / height))
                images.append(self._normalized(pixels))
                regions.append([_moved(region, (0, 0), scale) for region in sample.regions])
            yield Batch((np.stack(images),), regions)

    def _randompart(
        self, sample: TextImage, rng: np.random.Generator
    ) -> tuple[Pixels, list[TextRegion]]:
        """Return part of an image in the network's proportions, and its regions at that size."""
        pixels = read_image(sample.image)
        height, width = pixels.shape[:2]
        fitting = min(height / self.height, width / self.width) * rng.uniform(LEAST_SHARE, 1)
        high, wide = max(1, int(self.height * fitting)), max(1, int(self.width * fitting))
        top, left = rng.integers(height - high + 1), rng.integers(width - wide + 1)
        part = pixels[top : top + high, left : left + wide]
        scale = np.array((self.width / wide, self.height / high))
        regions = [_moved(region, (left, top), scale) for region in sample.regions]
        if rng.random() < 0.5:
            part = part[:, ::-1]
            regions = [
                TextRegion(tuple((self.width - x, y) for x, y in region.points), region.text)
                for region in regions
            ]
        return part, regions

    def _normalized(self, pixels: Pixels) -> np.ndarray:
        resized = cv2.resize(pixels, (self.width, self.height), interpolation=cv2.INTER_LINEAR)
        return normalized(resized[..., ::-1], MEAN, STD)


def _moved(region: TextRegion, origin: Sequence[float], scale: np.ndarray) -> TextRegion:
    """Return a region as seen from `origin`, then scaled by (x, y)."""
    points = (np.array(region.points) - np.array(origin)) * scale
    return TextRegion(tuple((float(x), float(y)) for x, y in points), region.text)


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
    `image_size` height and width of the network's input, by 32."""
    return PaddleOCRTask(config_file, weights, image_size)
