"""The tiny task's half pruned model, exported for an engine."""

import paddle
import pytest

from spaces.plan import Plan
from trainables.compression.pruning import pruned_model
from trainables.compression.quantization import export_candidate, prepare_quantization
from trainables.deployment.engines.registry import LISTINGS
from trainables.evaluation import first_samples
from trainables.settings import TrialSettings

ON_CPU = [kind for kind, listing in LISTINGS.items() if not listing.on_gpu]


def exported(kind, task, choice, folder, float_layers=()):
    """Return the engine, samples, and the engine's difference from the model on them."""
    return exported_model(kind, task, choice, folder, float_layers)[1:]


def exported_model(kind, task, choice, folder, float_layers=()):
    """Return the model too, before what `exported` returns."""
    for package in LISTINGS[kind].packages:
        pytest.importorskip(package)
    model = pruned_model(task, Plan.of({"conv2.weight": 0.5}, choice))
    quantization = prepare_quantization(model, choice)
    inputs = first_samples(task, 20)
    if quantization is not None:
        model.train()
        for _ in range(10):
            model(paddle.to_tensor(inputs[0]))
    settings = TrialSettings(
        task="mine",
        run_folder=str(folder),
        cache_folder=str(folder),
        calibration_samples=64,
        engine=kind,
    )
    engine, difference = export_candidate(
        *(model, choice, quantization, task, settings, folder), float_layers=float_layers
    )
    return model, engine, inputs, difference
