"""The Task contract: what a user supplies, and nothing more.

A task is any object with the attributes of `Task`; nothing is inherited and
nothing registered. `python -m search.run --task mypkg.mine:make_task` calls
`make_task()` on every worker and expects one. `--check-task` tries it against
every demand below and says in words what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, get_args

import numpy as np

from trainables.data.image_input import Preparation

if TYPE_CHECKING:
    import paddle

__all__ = ["SPLITS", "Batch", "Metric", "ModelInput", "Split", "Task", "TrainingRecipe"]

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


class Batch(NamedTuple):
    """Some samples: `inputs` for the model, `targets` for the loss and the metric."""

    inputs: tuple[np.ndarray, ...]
    """One array per entry of `Task.inputs`, in that order, samples along axis 0."""
    targets: Any
    """Whatever the task's own loss and metric understand."""


@dataclass(frozen=True)
class ModelInput:
    """One input of the model, and how raw data becomes it."""

    name: str
    shape: tuple[int, ...]
    """Without the batch axis, for example (3, 224, 224)."""
    dtype: str = "float32"
    layout: str = "NCHW"
    channel_order: str = "RGB"
    """Of raw pixels with three channels: "RGB", or "BGR" as OpenCV reads them."""
    scale: float = 1.0
    """A raw pixel is multiplied by `scale`, then has `mean` taken off, then is divided by `std`."""
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    image: Preparation | None = None
    """What an image file goes through to become this input; None if that is not written down."""

    def __post_init__(self) -> None:
        # Numpy's numbers, which neither Paddle nor JSON takes for numbers.
        object.__setattr__(self, "shape", tuple(int(size) for size in self.shape))
        object.__setattr__(self, "scale", float(self.scale))
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(float(v) for v in getattr(self, name)))


@dataclass(frozen=True)
class TrainingRecipe:
    """How a pruned model is fine-tuned: SGD with momentum on a cosine schedule."""

    batch_size: int = 32
    learning_rate: float = 0.01
    """The peak in float, well below that of training from nothing; quantization-aware
    training takes a third of it."""
    momentum: float = 0.9
    weight_decay: float = 1e-4


class Metric(Protocol):
    """How good outputs are. Sampling errors come from resampling the per-sample statistics."""

    @property
    def name(self) -> str: ...

    @property
    def maximize(self) -> bool: ...

    def sample_statistics(
        self, outputs: Sequence[np.ndarray], targets: Any
    ) -> Sequence[np.ndarray] | np.ndarray:
        """Return one array per sample of the batch, all that `aggregate` needs of it.

        `outputs` is flat, as an export's are: lists inside lists from the left, a dict by its
        sorted keys.
        """
        ...

    def aggregate(self, statistics: np.ndarray) -> float:
        """Return the metric over samples; `statistics` has the samples along axis 0."""
        ...


class Task(Protocol):
    """A trained model, its data and its metric. Plain attributes serve as the properties."""

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
        """Structured names of layers never to be pruned, for example ("head.conv",)."""
        ...

    def build_model(self) -> paddle.nn.Layer:
        """Return a new model with its trained weights. Same structured names every time."""
        ...

    def train_batches(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """Yield one epoch of full training batches, shuffled and augmented by `seed`."""
        ...

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        """Yield every sample of a split once, always in the same order."""
        ...

    def loss(self, outputs: Any, targets: Any) -> paddle.Tensor:
        """Return the scalar training loss of the model's raw outputs."""
        ...
