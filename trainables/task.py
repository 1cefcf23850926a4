"""The Task contract: all that a user supplies for their own model.

A task is any object with the attributes of `Task`; nothing is inherited or registered.
`python -m search.run --task mypkg.mine:make_task` calls `make_task()` on every worker.
`--check-task` tests the task against every demand below and says in words what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, get_args

import numpy as np

from spaces.errors import TaskError
from trainables.data.image_input import Preparation

if TYPE_CHECKING:
    import paddle

__all__ = ["SPLITS", "Batch", "Metric", "ModelInput", "Split", "Task", "TrainingRecipe"]

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Matching = Literal["class_scores", "values", "off", "loss"]
"""How a pruned model's outputs are held to the unpruned model's in distillation: as scores of
classes along axis 1, as plain numbers, not at all, or by the task's own loss."""


class Batch(NamedTuple):
    """Samples: `inputs` for the model, `targets` for the loss and the metric."""

    inputs: tuple[np.ndarray, ...]
    """One array per entry of `Task.inputs`, in that order, samples along axis 0."""
    targets: Any
    """Any type that the task's loss and metric take."""


@dataclass(frozen=True)
class ModelInput:
    """One input of the model, and how raw data is turned into it."""

    name: str
    shape: tuple[int, ...]
    """Without the batch axis, for example (3, 224, 224); samples are evaluated at it."""
    dtype: str = "float32"
    layout: str = "NCHW"
    channel_order: str = "RGB"
    """Channel order of raw colour pixels: "RGB", or "BGR" as OpenCV reads them."""
    scale: float = 1.0
    """A raw pixel becomes (pixel * scale - mean) / std."""
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    image: Preparation | None = None
    """Steps from an image file to this input; None if they are not described."""
    more_shapes: tuple[tuple[int, ...], ...] = ()
    """Further shapes that the model is timed at. Where they differ from `shape`, the size is free
    in exports."""

    def __post_init__(self) -> None:
        # Neither Paddle nor JSON takes numpy's numbers.
        object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))
        more = tuple(tuple(int(size) for size in shape) for shape in self.more_shapes)
        object.__setattr__(self, "more_shapes", more)
        object.__setattr__(self, "scale", float(self.scale))
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(float(v) for v in getattr(self, name)))

    @property
    def exported_shape(self) -> tuple[int | None, ...]:
        """`shape` with None for sizes that are free."""
        sizes = zip(*(self.shape, *self.more_shapes), strict=True)
        return tuple(same[0] if len(set(same)) == 1 else None for same in sizes)


Shapes = tuple[tuple[int, ...], ...]
"""A shape for each input of a model, without the batch axis."""


def timed_shapes(inputs: Sequence[ModelInput]) -> tuple[Shapes, ...]:
    """Return the inputs' shapes at each size that is timed; samples are evaluated at the first.

    An input with one shape has it at every size. Raises TaskError if shapes of an input have
    different numbers of axes, or inputs different numbers of shapes.
    """
    for spec in inputs:
        if any(len(shape) != len(spec.shape) for shape in spec.more_shapes):
            raise TaskError(
                f"input {spec.name}: more_shapes {spec.more_shapes} have other numbers of axes "
                f"than shape {spec.shape}; give each as many"
            )
    counts = {len(spec.more_shapes) for spec in inputs if spec.more_shapes}
    if len(counts) > 1:
        raise TaskError(
            f"inputs {', '.join(i.name for i in inputs)} have different numbers of more_shapes; "
            "give each as many, or none"
        )
    more = max(counts, default=0)
    every = [(spec.shape, *(spec.more_shapes or (spec.shape,) * more)) for spec in inputs]
    return tuple(zip(*every, strict=True))


@dataclass(frozen=True)
class TrainingRecipe:
    """How a pruned model is fine-tuned: SGD with momentum on a cosine schedule."""

    batch_size: int = 32
    learning_rate: float = 0.01
    """Peak in float, well below that of training from scratch (LOG: fine-tuning in a trial).
    Quantization-aware training takes a third of it."""
    momentum: float = 0.9
    weight_decay: float = 1e-4


class Metric(Protocol):
    """The quality of a model's outputs. Its sampling error comes from resampling the statistics."""

    @property
    def name(self) -> str: ...

    @property
    def maximize(self) -> bool: ...

    def sample_statistics(
        self, outputs: Sequence[np.ndarray], targets: Any
    ) -> Sequence[np.ndarray] | np.ndarray:
        """Return one array per sample of the batch, with all that `aggregate` needs.

        `outputs` is flat, as an export's: nested lists from left to right, a dict by sorted keys.
        """
        ...

    def aggregate(self, statistics: np.ndarray) -> float:
        """Return the metric over the samples, axis 0 of `statistics`."""
        ...


class Task(Protocol):
    """A trained model, its data and its metric. Properties may be plain attributes.

    A task may also have `distillation`, a Matching (by default its metric's, else "values"), and
    `exported(outputs)`, which returns those outputs of training that evaluation has too, if these
    are not simply the first ones.
    """

    @property
    def name(self) -> str: ...

    @property
    def inputs(self) -> Sequence[ModelInput]: ...

    @property
    def metric(self) -> Metric: ...

    @property
    def recipe(self) -> TrainingRecipe: ...

    @property
    def protected_layers(self) -> Sequence[str]:
        """Structured names of layers that must not be pruned, for example ("head.conv",)."""
        ...

    def build_model(self) -> paddle.nn.Layer:
        """Return a new model with its trained weights, always with the same structured names."""
        ...

    def train_batches(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """Yield one epoch of full batches, shuffled and augmented by `seed`."""
        ...

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        """Yield every sample of a split once, in the same order every time."""
        ...

    def loss(self, outputs: Any, targets: Any) -> paddle.Tensor:
        """Return the scalar training loss of the model's raw outputs."""
        ...
