"""A plan's quantization applied to a model, and the model's export."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import paddle

from spaces.errors import TrialError, one_line
from spaces.plan import Precision, QuantizationChoice
from trainables.compression.folding import fold_constants
from trainables.deployment.engines.paddle_inference import PaddleEngine
from trainables.deployment.engines.protocol import Engine
from trainables.deployment.engines.registry import chosen_runtime
from trainables.deployment.export import check_outputs, export_float
from trainables.deployment.exported import write_sizes
from trainables.deployment.seams import drop_steps
from trainables.evaluation import at_sizes, eager, first_samples
from trainables.settings import TrialSettings
from trainables.task import Task, timed_shapes

if TYPE_CHECKING:
    from trainables.compression.slim import QuantizationAware

# Samples on which an exported model is compared with the model. A guess.
CHECKED_SAMPLES = 64
# The same at each further size, which may be large. A guess.
MORE_CHECKED = 8
# Most characters of a reason: a few lines of a terminal. A guess.
MAX_REASON = 300
# Name of a layer's weight.
WEIGHT = "weight"
# Data formats that oneDNN does not take.
CHANNELS_LAST = ("NLC", "NHWC", "NDHWC")


def prepare_quantization(
    model: paddle.nn.Layer, choice: QuantizationChoice
) -> QuantizationAware | None:
    """Add fake quantization to the model for a quantization-aware choice, else return None.

    Raises TrialError if the model has no layer to quantize: the export would be in float.
    """
    if not choice.is_trained:
        return None
    # Imported here: PaddleSlim takes three seconds, and most processes do not quantize.
    from trainables.compression.slim import QuantizationAware

    weights = [name for name, p in model.named_parameters() if len(p.shape) > 1]
    quantization = QuantizationAware(model, pact=choice is QuantizationChoice.INT8_QAT_PACT)
    if not quantization.layers:
        raise TrialError(
            f"{choice.value} quantizes Paddle's layers Conv2D and Linear, and the model has none: "
            f"{weights[0] if weights else 'its weights'} belongs to another layer; use int8_ptq, "
            "or build the model from Paddle's layers"
        )
    return quantization


def calibration_feeds(task: Task, settings: TrialSettings) -> list[Mapping[str, np.ndarray]]:
    """Return the calibration batches of post-training quantization, by input name.

    They are training data, so that the validation split influences nothing that it measures.
    """
    size = min(task.recipe.batch_size, settings.calibration_samples)
    wanted = -(-settings.calibration_samples // size)
    names = [spec.name for spec in task.inputs]
    batches = zip(range(wanted), task.train_batches(size, settings.seed), strict=False)
    return [dict(zip(names, batch.inputs, strict=True)) for _, batch in batches]


def _hint(model: paddle.nn.Layer) -> str:
    """Return the known reason why the engine cannot run a model, empty if there is none."""
    for name, layer in model.named_sublayers():
        layout = str(getattr(layer, "_data_format", None) or getattr(layer, "data_format", ""))
        if layout in CHANNELS_LAST:
            return (
                f"layer {name} ({type(layer).__name__}) has its channels last, which oneDNN's "
                f"operators do not take; build it with data_format="
                f"{layout[0] + layout[-1] + layout[1:-1]!r}. "
            )
    return ""


def weight_names(model: paddle.nn.Layer) -> dict[str, str]:
    """Return the names that the weights of a model's layers have in its exports, by layer."""
    ending = f".{WEIGHT}"
    return {
        name.removesuffix(ending): parameter.name
        for name, parameter in model.named_parameters()
        if name.endswith(ending)
    }


def layer_precisions(model: paddle.nn.Layer, engine: Engine) -> dict[str, Precision]:
    """Return the precision that each layer of an exported model runs in, by the layer's name; not
    those that the engine does not tell."""
    found = engine.layers()
    names = weight_names(model)
    return {layer: found[weight] for layer, weight in names.items() if weight in found}


def _outputs(
    engine: Engine, inputs: Sequence[np.ndarray], model: paddle.nn.Layer
) -> list[np.ndarray]:
    """Return the outputs of an engine. Raises TrialError, with the known reason, if it has none."""
    try:
        return engine.run(inputs)
    except Exception as error:  # The engine's operators raise errors of many kinds.
        shapes = ", ".join(str(array.shape[1:]) for array in inputs)
        reason = f"the engine cannot run it on {shapes}: {_hint(model)}{one_line(error)}"
        raise TrialError(reason[:MAX_REASON]) from error


def export_candidate(
    model: paddle.nn.Layer,
    choice: QuantizationChoice,
    quantization: QuantizationAware | None,
    task: Task,
    settings: TrialSettings,
    folder: Path,
    checked: int = CHECKED_SAMPLES,
    float_layers: Collection[str] = (),
) -> tuple[Engine, float]:
    """Export the model as deployed, load it in the engine and compare on `checked` samples; at
    further sizes that are timed on MORE_CHECKED at most.

    Returns the engine and the largest difference of its outputs from the model's. Raises TrialError
    if that is too large. `quantization` comes from `prepare_quantization`; with it the model
    cannot be run again, as PaddleSlim's export makes it static. `float_layers` are not quantized
    after training.
    """
    inputs = first_samples(task, checked)
    few = [array[:MORE_CHECKED] for array in inputs]
    batches = [inputs, *at_sizes(few, task.inputs)[1:]]
    references = [*map(eager(model), batches)]
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
            names = weight_names(model)
            kept = [names[layer] for layer in float_layers if layer in names]
            quantize_post_training(Path(floats), folder, again, settings.calibration, kept)
        if kept:
            drop_steps(folder)
        # The quantized model exists only as a program. Its reference is that program without INT8
        # kernels, which simulates INT8 in float.
        references = [*map(PaddleEngine(folder, None, settings.threads).run, batches)]
    else:
        export_float(model, task.inputs, folder)
    if len(batches) > 1:
        write_sizes(folder, timed_shapes(task.inputs))
    chosen = chosen_runtime(settings)
    chosen.prepare(folder, choice.precision)
    engine = chosen.load(folder, choice.precision, settings.threads)
    difference = max(
        check_outputs(_outputs(engine, inputs, model), reference, choice.precision)
        for inputs, reference in zip(batches, references, strict=True)
    )
    if choice.precision == "int8" and engine.quantizations() == 0:
        raise TrialError(
            f"{choice.value}: the engine runs the exported model in float only: none of its "
            "convolutions and matrix products could be quantized; use float or bfloat16"
        )
    return engine, difference
