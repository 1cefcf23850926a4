"""A finished trial's model, exported anew."""

from __future__ import annotations

import shutil
from pathlib import Path

from spaces.plan import Plan
from trainables.compression.pruning import pruned_model
from trainables.compression.quantization import export_candidate
from trainables.context import TrialContext
from trainables.deployment.engine import MODEL_FILE, WEIGHTS_FILE, Engine
from trainables.results import Measurement
from trainables.settings import candidate_name
from trainables.trial import WEIGHTS
from trainables.weights import load_weights


def reexport(plan: Plan, number: int, target: Path, context: TrialContext) -> Measurement:
    """Write the model of a finished trial from its plan and weights; return its measurement.

    What was trained under quantization is copied: its scales are in the export alone.
    """
    settings = context.settings
    context.files.fetch(settings.folder, candidate_name(number))
    source = settings.candidate_folder(number)
    if plan.quantization.is_trained:
        target.mkdir(parents=True, exist_ok=True)
        for name in (MODEL_FILE, WEIGHTS_FILE):
            shutil.copy2(source / name, target / name)
        engine = Engine(target, plan.quantization.precision, settings.threads, settings.engine)
    else:
        model = pruned_model(context.task, plan, settings.criterion)
        load_weights(model, source / WEIGHTS)
        engine, _ = export_candidate(model, plan.quantization, None, context.task, settings, target)
    return context.measure(engine.run, "quantize", 0, 1.0)
