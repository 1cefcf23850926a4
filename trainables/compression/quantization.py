"""A plan's quantization applied to a model, up to the exported file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import paddle

from spaces.plan import QuantizationChoice
from trainables.engine import Engine
from trainables.evaluation import eager
from trainables.export import check_outputs, export_float
from trainables.settings import TrialSettings
from trainables.task import Batch, Task

if TYPE_CHECKING:
    from trainables.compression.slim import QuantizationAware

CHECKED_SAMPLES = 64


def prepare_quantization(
    model: paddle.nn.Layer, choice: QuantizationChoice
) -> QuantizationAware | None:
    """Put fake quantization into the model if the choice is trained; otherwise return None."""
    if not choice.is_trained:
        return None
    # PaddleSlim takes three seconds to import, which a process that does not quantize saves.
    from trainables.compression.slim import QuantizationAware

    return QuantizationAware(model, pact=choice is QuantizationChoice.INT8_QAT_PACT)


def calibration_feeds(task: Task, settings: TrialSettings) -> list[Mapping[str, np.ndarray]]:
    """Return the batches that fix the scales of post-training quantization, by input name.

    Training data, so that validation stays unseen by everything it judges.
    """
    size = min(task.recipe.batch_size, settings.calibration_samples)
    wanted = -(-settings.calibration_samples // size)
    names = [spec.name for spec in task.inputs]
    batches = zip(range(wanted), task.train_batches(size, settings.seed), strict=False)
    return [dict(zip(names, batch.inputs, strict=True)) for _, batch in batches]


def first_samples(task: Task, count: int) -> tuple[np.ndarray, ...]:
    """Return the inputs of the first validation samples, repeated if there are too few."""
    batch: Batch = next(iter(task.eval_batches("val", count)))
    index = np.arange(count) % len(batch.inputs[0])
    return tuple(array[index] for array in batch.inputs)


def export_candidate(
    model: paddle.nn.Layer,
    choice: QuantizationChoice,
    quantization: QuantizationAware | None,
    task: Task,
    settings: TrialSettings,
    folder: Path,
) -> tuple[Engine, float]:
    """Write the model as the choice deploys it, load it back and compare.

    Returns the loaded engine and how far its outputs are from the model's;
    TrialError if that is too far. `quantization` is what `prepare_quantization`
    returned. After quantization-aware training the model cannot be run again:
    PaddleSlim's export turns it into a static one.
    """
    inputs = first_samples(task, CHECKED_SAMPLES)
    reference = eager(model)(inputs)
    if quantization is not None:
        quantization.export(task.inputs, folder)
    elif choice is QuantizationChoice.INT8_PTQ:
        from trainables.compression.slim import quantize_post_training

        feeds = calibration_feeds(task, settings)

        def again() -> Iterator[Mapping[str, np.ndarray]]:
            return iter(feeds)

        with tempfile.TemporaryDirectory() as floats:
            export_float(model, task.inputs, Path(floats))
            quantize_post_training(Path(floats), folder, again, settings.calibration)
        # This quantization has no model in the framework. The program run plainly, as
        # it simulates INT8 in float, is the nearest thing.
        reference = Engine(folder, None, settings.threads).run(inputs)
    else:
        export_float(model, task.inputs, folder)
    engine = Engine(folder, choice.precision, settings.threads, settings.engine)
    return engine, check_outputs(engine.run(inputs), reference, choice.precision)
