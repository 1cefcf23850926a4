"""Shared by the classification tasks: the base class, and networks with auxiliary outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainables.data.image_batches import ImageBatches
from trainables.metrics import TopOneAccuracy
from trainables.task import Batch, Split

if TYPE_CHECKING:
    import paddle

# Networks that have auxiliary outputs in training.
WITH_AUXILIARY_OUTPUTS = ("GoogLeNet", "GoogLeNetDY")
# Weight of an auxiliary output's loss (Szegedy et al., CVPR 2015).
AUXILIARY_WEIGHT = 0.3


def all_outputs(outputs: paddle.Tensor | Sequence[paddle.Tensor]) -> Sequence[paddle.Tensor]:
    """Return the scores of every output, the main one first."""
    return outputs if isinstance(outputs, list | tuple) else (outputs,)


def first_output_in_evaluation(network: paddle.nn.Layer) -> paddle.nn.Layer:
    """Make a network return only its first output in evaluation; in training it returns all.

    Returns the same object, so that its layers keep their names.
    """
    kind = type(network)

    class FirstOutput(kind):  # type: ignore[valid-type, misc]
        def forward(self, x: paddle.Tensor) -> Any:
            outputs = kind.forward(self, x)
            if self.training:
                return outputs
            return outputs[0]

    network.__class__ = FirstOutput
    return network


class ImageClassifier:
    """Base class of tasks of images with one class each."""

    metric = TopOneAccuracy()
    protected_layers: tuple[str, ...] = ()
    weights: Path
    _images: ImageBatches

    def build_untrained(self) -> paddle.nn.Layer:
        raise NotImplementedError

    def build_model(self) -> paddle.nn.Layer:
        from trainables.weights import load_weights

        network = self.build_untrained()
        load_weights(network, self.weights)
        if type(network).__name__ in WITH_AUXILIARY_OUTPUTS:
            return first_output_in_evaluation(network)
        return network

    def train_batches(self, batch_size: int, seed: int) -> Iterator[Batch]:
        return self._images.train(batch_size, seed)

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        return self._images.evaluated(split, batch_size)
