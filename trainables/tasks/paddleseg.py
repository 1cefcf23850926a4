"""PaddleSeg's own models, losses and data, from its own configuration file.

    --task paddleseg --config-file pp_liteseg.yml --weights model.pdparams

Needs the toolkit's wheel (the extra `paddleseg`). Images are resized to one size, as an engine is
built for one; mIoU is taken at that size.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spaces.errors import TaskError, one_line
from trainables.data.problems import Problems
from trainables.data.segmentation import MaskedImage, check_samples
from trainables.metrics import MeanIoU
from trainables.task import Batch, ModelInput, Split, TrainingRecipe

if TYPE_CHECKING:
    import paddle


def _without_pretrained(config: Any) -> Any:
    """Return a part of a configuration with no weights to be fetched: all come from one file."""
    if isinstance(config, dict):
        return {
            key: None if key == "pretrained" else _without_pretrained(value)
            for key, value in config.items()
        }
    return [_without_pretrained(item) for item in config] if isinstance(config, list) else config


def _root(error: BaseException) -> BaseException:
    """Return what an exception came from: the toolkit's checks wrap theirs twice."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return error


def _mend_cross_entropy() -> None:
    """Have the toolkit's cross entropy average as it means to: it multiplies floats by whole
    numbers there, which this paddle refuses."""
    import paddle
    import paddle.nn.functional as F
    from paddleseg.models.losses import CrossEntropyLoss

    def average(self: Any, logit: Any, label: Any, semantic_weights: Any, loss: Any) -> Any:
        counted = paddle.cast(label != self.ignore_index, "float32")
        if not self.avg_non_ignore:
            counted = paddle.ones_like(counted)
        loss = loss.reshape(counted.shape) * counted
        if semantic_weights is not None:
            loss = loss * semantic_weights
        share = paddle.ones_like(counted)
        if self.weight is not None:
            known = paddle.where(label == self.ignore_index, paddle.zeros_like(label), label)
            share = (F.one_hot(known, logit.shape[-1]) * self.weight).sum(-1)
        if self.top_k_percent_pixels == 1.0:
            return loss.mean() / ((counted * share).mean() + self.EPS)
        hardest = int(self.top_k_percent_pixels * loss.size)
        loss, places = paddle.topk(loss.flatten(), hardest)
        return loss.mean() / (paddle.gather(share.flatten(), places).mean() + self.EPS)

    CrossEntropyLoss._post_process_loss = average


class PaddleSegTask:
    """One configuration of PaddleSeg, with trained weights."""

    name = "paddleseg"

    def __init__(self, config_file: str, weights: str, image_size: int | None = None) -> None:
        try:
            from paddleseg.cvlibs import Config, SegBuilder
        except ImportError as error:
            raise TaskError(
                f"task 'paddleseg' needs PaddleSeg ({one_line(error)}); install it with "
                'pip install --no-deps "paddleseg==2.8.0" prettytable'
            ) from error
        if not Path(config_file).is_file():
            raise TaskError(f"config_file {config_file} is missing; name a PaddleSeg YAML file")
        try:
            config = Config(config_file)
            config.dic["model"] = _without_pretrained(config.dic["model"])
            self._builder = SegBuilder(config)
            self._train, self._held_out = self._builder.train_dataset, self._builder.val_dataset
            given = config.dic.get("test_dataset")
            self._test = None if given is None else self._builder.build_component(given)
        except Exception as error:  # The toolkit raises and asserts whatever comes.
            said = one_line(_root(error))
            raise TaskError(f"config_file {config_file}: {said}; mend it") from error
        self.config_file = config_file
        self.weights = Path(weights)
        self.classes = int(self._train.num_classes)
        self.ignored = int(self._train.ignore_index)
        self.metric = MeanIoU(self.classes, ignored=self.ignored)
        self.recipe = TrainingRecipe(batch_size=int(config.batch_size or 4))
        self.protected_layers: tuple[str, ...] = ()
        self._check_data()
        side = image_size and (image_size, image_size)
        height, width = side or self._train[0]["img"].shape[1:]
        self._size = (int(width), int(height))
        mean, std = self._normalization()
        self.inputs = (
            ModelInput("image", (len(mean), height, width), scale=1 / 255, mean=mean, std=std),
        )

    def _check_data(self) -> None:
        """Raise DataError for what is missing or damaged, before anything is trained."""
        problems = Problems()
        for dataset in filter(None, (self._train, self._held_out, self._test)):
            samples = [
                MaskedImage(Path(image), Path(mask), f"{self.config_file}: {dataset.mode} {index}")
                for index, (image, mask) in enumerate(dataset.file_list, 1)
            ]
            check_samples(samples, self.classes, problems, ignored=self.ignored)
        problems.raise_if_any()

    def _normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        channels = int(self._train.img_channels)
        for transform in self._held_out.transforms.transforms:
            if type(transform).__name__ == "Normalize":
                return tuple(
                    tuple(np.broadcast_to(value, channels).astype(float).tolist())
                    for value in (transform.mean, transform.std)
                )  # type: ignore[return-value]
        return (0.0,) * channels, (1.0,) * channels

    def build_untrained(self) -> paddle.nn.Layer:
        model: paddle.nn.Layer = self._builder.build_component(self._builder.config.model_cfg)
        return model

    def build_model(self) -> paddle.nn.Layer:
        from trainables.weights import load_weights

        model = self.build_untrained()
        load_weights(model, self.weights)
        return model

    @cached_property
    def _loss(self) -> dict[str, Any]:
        _mend_cross_entropy()
        return self._builder.loss

    def loss(self, outputs: list[paddle.Tensor], targets: paddle.Tensor) -> paddle.Tensor:
        """Return the sum of the configuration's losses, one for every head that training has."""
        from paddleseg.core.train import loss_computation

        losses = loss_computation(outputs, targets, edges=None, losses=self._loss)
        total: paddle.Tensor = sum(losses)
        return total

    def train_batches(self, batch_size: int, seed: int) -> Iterator[Batch]:
        order = np.random.default_rng(seed).permutation(len(self._train))
        # The toolkit's transforms draw from both.
        random.seed(seed)
        np.random.seed(seed)
        for start in range(0, len(order) - batch_size + 1, batch_size):
            samples = [self._train[int(index)] for index in order[start : start + batch_size]]
            yield self._batch(samples)

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        """Yield a split. Without a `test_dataset`, every other image validated on is the test."""
        dataset = self._train if split == "train" else self._held_out
        if split == "test" and self._test is not None:
            dataset = self._test
        chosen = range(len(dataset))
        if split != "train" and self._test is None:
            chosen = chosen[split == "test" :: 2]
        for start in range(0, len(chosen), batch_size):
            files = [dataset.file_list[index] for index in chosen[start : start + batch_size]]
            yield self._batch([self._whole(image, mask) for image, mask in files])

    def _whole(self, image: str, mask: str) -> dict[str, Any]:
        """Return an image and its mask as validation has them, resized."""
        import cv2

        sample: dict[str, Any] = {
            "img": image,
            "label": mask,
            "trans_info": [],
            "gt_fields": ["label"],
        }
        sample = dict(self._held_out.transforms(sample))
        pixels = np.ascontiguousarray(sample["img"].transpose(1, 2, 0))
        resized = cv2.resize(pixels, self._size, interpolation=cv2.INTER_LINEAR)
        sample["img"] = resized.reshape(*self._size[::-1], -1).transpose(2, 0, 1)
        sample["label"] = cv2.resize(
            np.ascontiguousarray(sample["label"]), self._size, interpolation=cv2.INTER_NEAREST
        )
        return sample

    @staticmethod
    def _batch(samples: list[dict[str, Any]]) -> Batch:
        images = np.stack([sample["img"] for sample in samples]).astype("float32")
        masks = np.stack([sample["label"] for sample in samples]).astype("int64")
        return Batch((images,), masks)


def make_task(config_file: str, weights: str, image_size: int | None = None) -> PaddleSegTask:
    """Return the task; `config_file` is the toolkit's, `weights` the trained model's,
    `image_size` the side of what the model is deployed on, in pixels."""
    return PaddleSegTask(config_file, weights, image_size)
