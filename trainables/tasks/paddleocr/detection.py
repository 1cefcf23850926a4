"""Text detection by DB on MobileNetV3: its data, its batches and its loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.data.image_input import Normalize, Preparation, Resize
from trainables.data.images import Pixels, size_if_whole
from trainables.data.preparing import placement, prepare, read_pixels
from trainables.data.problems import Problems
from trainables.data.text import TextImage, TextRegion, check_samples, read_labels
from trainables.metrics.text_regions import HarmonicMean, RegionFinder
from trainables.remarks import remark
from trainables.task import Batch, Metric, Split
from trainables.tasks.config_file import section
from trainables.tasks.paddleocr.architecture import searched_architecture
from trainables.tasks.paddleocr.db_targets import DBTargets, make_targets
from trainables.tasks.paddleocr.images import (
    SUPPORTED_IN_TRAINING,
    evaluated_input,
    omitted_augmentations,
    transforms,
)
from trainables.tasks.paddleocr.splits import read_splits, training_recipe

if TYPE_CHECKING:
    import paddle

# Minimum side of a training crop, relative to the largest that fits into the image. A guess.
MIN_CROP_SIDE = 0.5


def _loss_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of DB's loss, which may be part of a distillation's."""
    given = section(config, "Loss")
    for entry in given.get("loss_config_list") or ():
        if "DistillationDBLoss" in entry:
            return dict(entry["DistillationDBLoss"] or {})
    return given


class DetectionTask:
    """One text detection configuration of PaddleOCR, with trained weights."""

    name = "paddleocr"
    protected_layers: tuple[str, ...] = ()

    def __init__(
        self,
        config: Mapping[str, Any],
        config_file: str,
        weights: str,
        image_size: Sequence[int] | None,
    ) -> None:
        self._architecture = searched_architecture(config, config_file, "det")
        self.weights = Path(weights)
        self.recipe = training_recipe(config)
        found = section(config, "PostProcess")
        finder = RegionFinder(
            threshold=float(found.get("thresh", 0.3)),
            score_threshold=float(found.get("box_thresh", 0.6)),
            unclip_ratio=float(found.get("unclip_ratio", 1.5)),
        )
        self.metric: Metric = HarmonicMean(finder)
        self._loss_settings = _loss_settings(config)
        problems = Problems()
        self._samples = read_splits(config, read_labels, problems)
        # Without a section `Test` both are of Eval.
        of_eval = self._samples["val"] + ([] if "Test" in config else self._samples["test"])
        sizes = [size_if_whole(sample.image) for sample in of_eval]
        for samples in self._samples.values():
            check_samples(samples, problems)
        problems.raise_if_any()
        evaluated = transforms(section(config, "Eval", "dataset"))
        where = f"config_file {config_file}: Eval's"
        spec = evaluated_input(evaluated, where, image_size, [size for size in sizes if size])
        self.inputs = (spec,)
        _, self.height, self.width = spec.shape
        trained = section(config, "Train", "dataset")
        if names := omitted_augmentations(trained, SUPPORTED_IN_TRAINING):
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
                regions.append([_moved(region, (0, 0), scale) for region in sample.regions])
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
        regions = [_moved(region, (left, top), scale) for region in sample.regions]
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


def _moved(region: TextRegion, origin: Sequence[float], scale: np.ndarray) -> TextRegion:
    """Return a region relative to `origin`, then scaled by (x, y)."""
    points = (np.array(region.points) - np.array(origin)) * scale
    return TextRegion(tuple((float(x), float(y)) for x, y in points), region.text)
