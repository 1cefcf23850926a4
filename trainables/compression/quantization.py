"""A plan's quantization applied to a model, up to the exported file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import paddle

from spaces.errors import TrialError, one_line
from spaces.plan import QuantizationChoice
from trainables.compression.folding import fold_constants
from trainables.deployment.engine import Engine
from trainables.deployment.export import check_outputs, export_float
from trainables.evaluation import eager, first_samples
from trainables.settings import TrialSettings
from trainables.task import Task

if TYPE_CHECKING:
    from trainables.compression.slim import QuantizationAware

CHECKED_SAMPLES = 64
# Of a reason, in characters: a line or two of a terminal.
LONGEST = 300
CHANNELS_LAST = ("NLC", "NHWC", "NDHWC")


def prepare_quantization(
    model: paddle.nn.Layer, choice: QuantizationChoice
) -> QuantizationAware | None:
    """Put fake quantization into the model if the choice is trained; otherwise return None.

    Raises TrialError if none of the model's layers takes it: the export would be in float.
    """
    if not choice.is_trained:
        return None
    # PaddleSlim takes three seconds to import, which a process that does not quantize saves.
    from trainables.compression.slim import QuantizationAware

    weights = [name for name, p in model.named_parameters() if len(p.shape) > 1]
    quantization = QuantizationAware(model, pact=choice is QuantizationChoice.INT8_QAT_PACT)
    if not quantization.layers:
        raise TrialError(
            f"{choice.value} quantizes paddle's layers Conv2D and Linear, and the model has none: "
            f"{weights[0] if weights else 'its weights'} belongs to another kind; use int8_ptq, or "
            "build the model of paddle's layers"
        )
    return quantization


def calibration_feeds(task: Task, settings: TrialSettings) -> list[Mapping[str, np.ndarray]]:
    """Return the batches that fix the scales of post-training quantization, by input name.

    Training data, so that validation stays unseen by everything it judges.
    """
    size = min(task.recipe.batch_size, settings.calibration_samples)
    wanted = -(-settings.calibration_samples // size)
    names = [spec.name for spec in task.inputs]
    batches = zip(range(wanted), task.train_batches(size, settings.seed), strict=False)
    return [dict(zip(names, batch.inputs, strict=True)) for _, batch in batches]


def _hint(model: paddle.nn.Layer) -> str:
    """Return what is known to stop the engine, empty if it is something else."""
    for name, layer in model.named_sublayers():
        layout = str(getattr(layer, "_data_format", None) or getattr(layer, "data_format", ""))
        if layout in CHANNELS_LAST:
            return (
                f"layer {name} ({type(layer).__name__}) has its channels last, which oneDNN's "
                f"operators do not take; build it with data_format="
                f"{layout[0] + layout[-1] + layout[1:-1]!r}. "
            )
    return ""


def export_candidate(
    model: paddle.nn.Layer,
    choice: QuantizationChoice,
    quantization: QuantizationAware | None,
    task: Task,
    settings: TrialSettings,
    folder: Path,
    checked: int = CHECKED_SAMPLES,
) -> tuple[Engine, float]:
    """Write the model as the choice deploys it, load it back and compare on `checked` samples.

    Returns the loaded engine and how far its outputs are from the model's;
    TrialError if that is too far. `quantization` is what `prepare_quantization`
    returned. After quantization-aware training the model cannot be run again:
    PaddleSlim's export turns it into a static one.
    """
    inputs = first_samples(task, checked)
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
            fold_constants(Path(floats))
            quantize_post_training(Path(floats), folder, again, settings.calibration)
        # This quantization has no model in the framework. The program run plainly, as
        # it simulates INT8 in float, is the nearest thing.
        reference = Engine(folder, None, settings.threads).run(inputs)
    else:
        export_float(model, task.inputs, folder)
    engine = Engine(folder, choice.precision, settings.threads, settings.engine)
    try:
        outputs = engine.run(inputs)
    except Exception as error:  # Each operator of the engine raises its own kind.
        said = f"the engine cannot run it: {_hint(model)}{one_line(error)}"
        raise TrialError(said[:LONGEST]) from error
    difference = check_outputs(outputs, reference, choice.precision)
    if choice.precision == "int8" and settings.engine == "onednn" and not engine.quantizations():
        raise TrialError(
            f"{choice.value}: the engine computes the exported model in floats alone: no "
            "convolution or matrix product of it could be quantized; use float or bfloat16"
        )
    return engine, difference
