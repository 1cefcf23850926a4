"""PaddleSeg's segmentation models, from its configuration file.

    --task paddleseg --config-file pp_liteseg.yml --weights model.pdparams

Needs the toolkit's wheel (the extra `paddleseg`). Images are resized to the engine's one input
size, and mIoU is computed at that size: `test_config` (windows, several scales) is ignored. Nothing
is downloaded: `pretrained` is ignored, since all weights come from one file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spaces.errors import TaskError, one_line
from trainables.metrics import MeanIoU
from trainables.task import Batch, Split, TrainingRecipe
from trainables.tasks.paddleseg.data import SegmentationData, check_roots, training_targets
from trainables.tasks.paddleseg.input import model_input
from trainables.tasks.paddleseg.losses import total_loss

if TYPE_CHECKING:
    import paddle


def _without_pretrained(config: Any) -> Any:
    """Return a section of a configuration without any `pretrained`: nothing is downloaded."""
    if isinstance(config, dict):
        return {
            key: None if key == "pretrained" else _without_pretrained(value)
            for key, value in config.items()
        }
    return [_without_pretrained(item) for item in config] if isinstance(config, list) else config


@contextmanager
def _without_initial_weights() -> Iterator[None]:
    """Let the toolkit's transformers be built without the file of their initial weights, which
    their constructors require."""
    from paddleseg.models.backbones import cae, vision_transformer

    patched = {kind: kind.init_weight for kind in (cae.CAE, vision_transformer.VisionTransformer)}
    for kind in patched:
        kind.init_weight = lambda self: None
    try:
        yield
    finally:
        for kind, own in patched.items():
            kind.init_weight = own


def _root(error: BaseException) -> BaseException:
    """Return an exception's first cause: the toolkit's checks wrap theirs twice."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return error


class PaddleSegTask:
    """One configuration of PaddleSeg, with trained weights."""

    name = "paddleseg"

    def __init__(
        self, config_file: str, weights: str, image_size: int | Sequence[int] | None = None
    ) -> None:
        try:
            from paddleseg.cvlibs import Config, SegBuilder
        except ImportError as error:
            raise TaskError(
                f"task 'paddleseg' needs PaddleSeg ({one_line(error)}); install it with "
                'pip install --no-deps "paddleseg==2.8.0" prettytable'
            ) from error
        if not Path(config_file).is_file():
            raise TaskError(f"config_file {config_file} is missing; name a PaddleSeg YAML file")
        self.config_file = config_file
        try:
            self._config = config = Config(config_file)
            config.dic["model"] = _without_pretrained(config.dic["model"])
        except Exception as error:  # The toolkit raises errors of many kinds.
            raise self._refused(error) from error
        if not config.dic.get("val_dataset"):
            raise TaskError(f"config_file {config_file} has no val_dataset; name one")
        sections = ("train_dataset", "val_dataset", "test_dataset")
        for name in sections:
            if config.dic.get(name):
                check_roots(f"config_file {config_file}: {name}", config.dic[name])
        try:
            builder = SegBuilder(config)
            train, held_out = (builder.build_component(config.dic[name]) for name in sections[:2])
            given = config.dic.get("test_dataset")
            test = None if given is None else builder.build_component(given)
            self._losses = builder.loss
            network = builder.load_component_class(config.model_cfg["type"])
        except Exception as error:
            raise self._refused(error) from error
        self._trains_on_instances = hasattr(network, "loss_computation")
        self._check_labels(train)
        self.weights = Path(weights)
        self.classes = int(train.num_classes)
        self.data = SegmentationData(train, held_out, test)
        self.metric = MeanIoU(self.classes, ignored=self.data.ignored)
        self.recipe = TrainingRecipe(batch_size=int(config.batch_size or 4))
        self.protected_layers: tuple[str, ...] = ()
        self.data.check(config_file, self.classes)
        size = _sides(image_size) or train[0]["img"].shape[1:]
        self.data.resize_to((int(size[0]), int(size[1])))
        self.inputs = (model_input(held_out, self.data.size),)

    def _refused(self, error: Exception) -> TaskError:
        reason = one_line(_root(error))
        return TaskError(f"config_file {self.config_file}: {reason}; change it")

    def _check_labels(self, train: Any) -> None:
        """Raise TaskError for a loss that needs labels which the data set lacks."""
        for loss in self._losses["types"]:
            if getattr(loss, "edge_label", False) and not getattr(train, "edge", False):
                raise TaskError(
                    f"config_file {self.config_file}: {type(loss).__name__} needs edges; "
                    "give train_dataset edge: true"
                )
        steps = [type(step).__name__ for step in train.transforms.transforms]
        if self._trains_on_instances and "GenerateInstanceTargets" not in steps:
            raise TaskError(
                f"config_file {self.config_file}: its model is trained on instances; "
                "give train_dataset the transform GenerateInstanceTargets"
            )

    def build_untrained(self) -> paddle.nn.Layer:
        from paddleseg.cvlibs import SegBuilder

        # A new builder each time: it caches its model, which has the data set's classes.
        with _without_initial_weights():
            model: paddle.nn.Layer = SegBuilder(self._config).model
        return model

    def build_model(self) -> paddle.nn.Layer:
        from trainables.weights import load_weights

        model = self.build_untrained()
        load_weights(model, self.weights)
        return model

    def loss(self, outputs: list[Any], targets: Any) -> paddle.Tensor:
        """Return the sum of the configuration's losses, one per head of training."""
        return total_loss(outputs, targets, self._losses, self._trains_on_instances)

    def train_batches(self, batch_size: int, seed: int) -> Iterator[Batch]:
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(self.data.train))
        for start in range(0, len(order) - batch_size + 1, batch_size):
            chosen = order[start : start + batch_size]
            samples = self.data.augmented(chosen, int(rng.integers(2**32)))
            images = np.stack([sample["img"] for sample in samples]).astype("float32")
            yield Batch((images,), training_targets(samples))

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        """Yield a split. Without a `test_dataset`, half of `val_dataset` is the test split."""
        readers = self.data.of_split(split)
        for start in range(0, len(readers), batch_size):
            samples = [read() for read in readers[start : start + batch_size]]
            images = np.stack([image for image, _ in samples]).astype("float32")
            yield Batch((images,), np.stack([labels for _, labels in samples]).astype("int64"))


def _sides(image_size: int | Sequence[int] | None) -> tuple[int, int] | None:
    """Return height and width of `image_size`, None without one: the training crops' size."""
    if image_size is None:
        return None
    sides = [image_size] * 2 if isinstance(image_size, int) else list(image_size)
    if len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise TaskError(
            f"image_size {image_size!r} is not a size; give a side in pixels or [height, width]"
        )
    return sides[0], sides[1]


def make_task(
    config_file: str, weights: str, image_size: int | Sequence[int] | None = None
) -> PaddleSegTask:
    """Return the task; `config_file` is the toolkit's, `weights` the trained model's,
    `image_size` the side, or height and width, of the deployed model's input in pixels."""
    return PaddleSegTask(config_file, weights, image_size)
