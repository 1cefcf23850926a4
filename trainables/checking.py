"""`--check-task`: a task tested against every demand of the contract."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from spaces.errors import SearchError, one_line
from spaces.plan import QuantizationChoice
from trainables.compression.graph.groups import survey_groups
from trainables.compression.graph.verification import task_samples
from trainables.compression.quantization import export_candidate, prepare_quantization
from trainables.evaluation import eager, evaluate
from trainables.listings import Demand
from trainables.loading import load_task
from trainables.metrics import metric_value
from trainables.models import new_model
from trainables.remarks import collected
from trainables.sanity import FirstPass, compare_with_chance
from trainables.settings import TrialSettings, WorkerSettings
from trainables.task import SPLITS, Batch, Split, Task, timed_shapes
from trainables.training import Trainer
from trainables.weights import fingerprint, model_weights

# Samples in a batch that is checked. A guess.
SAMPLES = 8
# Batches of a split that are checked. A guess.
BATCHES = 3


class _UnmetError(Exception):
    """A demand is not met; the message says why."""


def _need(condition: bool, message: str) -> None:
    if not condition:
        raise _UnmetError(message)


def _check_batch(batch: Any, task: Task, where: str) -> None:
    _need(isinstance(batch, Batch), f"{where} yields {type(batch).__name__}, not task.Batch")
    _need(
        len(batch.inputs) == len(task.inputs),
        f"{where} yields {len(batch.inputs)} inputs, `inputs` names {len(task.inputs)}",
    )
    _need(len(batch.inputs[0]) > 0, f"{where} yields an empty batch")
    for array, spec in zip(batch.inputs, task.inputs, strict=True):
        _need(
            isinstance(array, np.ndarray) and str(array.dtype) == spec.dtype,
            f"{where}: input {spec.name} is {getattr(array, 'dtype', type(array).__name__)}, "
            f"`inputs` says {spec.dtype}",
        )
        _need(
            tuple(array.shape[1:]) == tuple(spec.shape),
            f"{where}: input {spec.name} has shape {tuple(array.shape[1:])} after the batch axis, "
            f"`inputs` says {tuple(spec.shape)}",
        )
        _need(bool(np.isfinite(array).all()), f"{where}: input {spec.name} is not finite")


def _small_batches(task: Task, split: Split) -> list[Batch]:
    return list(islice(task.eval_batches(split, SAMPLES), BATCHES))


def _check_inputs(task: Task) -> str:
    _need(len(task.inputs) > 0, "`inputs` is empty; name at least one")
    timed_shapes(task.inputs)
    for spec in task.inputs:
        _need(len(spec.mean) == len(spec.std), f"input {spec.name}: mean and std differ in length")
    return ", ".join(f"{spec.name} {tuple(spec.shape)} {spec.dtype}" for spec in task.inputs)


def _check_eval(task: Task) -> str:
    for split in SPLITS:
        batches = _small_batches(task, split)
        _need(bool(batches), f"eval_batches({split!r}, {SAMPLES}) yields nothing")
        for batch in batches:
            _check_batch(batch, task, f"eval_batches({split!r}, {SAMPLES})")
        again = _small_batches(task, split)
        same = all(
            np.array_equal(a, b)
            for x, y in zip(batches, again, strict=True)
            for a, b in zip(x.inputs, y.inputs, strict=True)
        )
        _need(same, f"eval_batches({split!r}, ...) yields another order the second time")
    return "train, val and test, in the same order every time"


def _check_train(task: Task) -> str:
    size = task.recipe.batch_size
    first = next(iter(task.train_batches(size, 0)), None)
    _need(first is not None, f"train_batches({size}, seed) yields nothing")
    assert first is not None
    _check_batch(first, task, f"train_batches({size}, 0)")
    _need(len(first.inputs[0]) == size, f"a batch holds {len(first.inputs[0])} samples, not {size}")
    again = next(iter(task.train_batches(size, 0)))
    _need(
        np.array_equal(first.inputs[0], again.inputs[0]),
        "train_batches gives another batch for the same seed",
    )
    other = next(iter(task.train_batches(size, 1)))
    _need(
        not np.array_equal(first.inputs[0], other.inputs[0]),
        "train_batches gives the same batch for another seed; shuffle by the seed",
    )
    return f"batches of {size}, by the seed"


def _check_model(task: Task) -> str:
    first, second = (model_weights(new_model(task)) for _ in range(2))
    _need(
        fingerprint(first) == fingerprint(second),
        "build_model() gives other names or weights the second time; load trained weights",
    )
    return f"{sum(a.size for a in first.values()):,} trained numbers, the same every time"


def _check_metric(task: Task) -> str:
    model, metric = new_model(task), task.metric
    batch = _small_batches(task, "val")[0]
    run = eager(model)
    statistics = np.asarray(metric.sample_statistics(run(batch.inputs), batch.targets))
    _need(
        len(statistics) == len(batch.inputs[0]),
        f"sample_statistics gives {len(statistics)} entries for {len(batch.inputs[0])} samples",
    )
    value = metric_value(metric, statistics)
    _need(bool(np.isfinite(value)), f"aggregate gives {value!r}, a finite number is expected")
    first_pass, eval_batch = FirstPass(), WorkerSettings().eval_batch
    rows = evaluate(run, task, "val", eval_batch, observe=first_pass)
    whole = metric_value(metric, rows)
    _need(whole != 0, f"{metric.name} of the trained model on val is 0, so it has no relative loss")
    _need(
        first_pass.varies, "the model's outputs are the same for all inputs; load trained weights"
    )
    constant = first_pass.constant_statistics(task, "val", eval_batch)
    chance = None if constant is None else compare_with_chance(task, rows, constant)
    warning = f"; {chance.in_words(metric.name, whole)}" if chance and chance.reached else ""
    direction = "higher" if metric.maximize else "lower"
    return f"{metric.name} {whole:.4f} on val, {direction} is better{warning}"


def _check_loss(task: Task) -> str:
    recipe = replace(task.recipe, batch_size=min(SAMPLES, task.recipe.batch_size))
    trainer = Trainer(
        new_model(task),
        task,
        steps=2,
        learning_rate=recipe.learning_rate,
        batch_size=recipe.batch_size,
        seed=0,
    )
    return f"{trainer.run(2):.4f} over two steps of training"


def _check_groups(task: Task) -> str:
    model = new_model(task)
    layers = {name for name, _ in model.named_sublayers()}
    layers |= {name for name, _ in model.named_parameters()}
    for name in task.protected_layers:
        _need(name in layers, f"protected layer {name!r} is not in the model")
    survey = survey_groups(
        lambda: new_model(task), task.inputs, task.protected_layers, task_samples(task)
    )
    excluded = "".join(f"; excluded {item.name}: {item.reason}" for item in survey.excluded)
    _need(bool(survey.groups), f"no group can be pruned{excluded}")
    branches = f", {len(survey.branches)} branches can be taken out" if survey.branches else ""
    return f"{len(survey.groups)} groups can be pruned{branches}{excluded}"


def _settings(task: Task, folder: str) -> TrialSettings:
    return TrialSettings(
        task=task.name, run_folder=folder, cache_folder=folder, calibration_samples=SAMPLES
    )


def _check_export(task: Task) -> str:
    with tempfile.TemporaryDirectory() as folder:
        settings = _settings(task, folder)
        _, difference = export_candidate(
            new_model(task), QuantizationChoice.FLOAT, None, task, settings, Path(folder), SAMPLES
        )
    return f"the engine's outputs differ from the model's by {difference:.1e} of their spread"


def _check_quantization(task: Task) -> str:
    """Try both kinds of INT8. A model that takes neither is searched in float: that is no fault."""

    def after_training(folder: str) -> str:
        model = new_model(task)
        settings = _settings(task, folder)
        choice = QuantizationChoice.INT8_PTQ
        export_candidate(model, choice, None, task, settings, Path(folder), SAMPLES)
        return "int8_ptq runs"

    def in_training(folder: str) -> str:
        model = new_model(task)
        weights = sum(len(parameter.shape) > 1 for parameter in model.parameters())
        quantization = prepare_quantization(model, QuantizationChoice.INT8_QAT)
        assert quantization is not None
        return f"int8_qat quantizes {len(quantization.layers)} of {weights} weights"

    said = []
    for name, quantize in (("int8_ptq", after_training), ("int8_qat", in_training)):
        with tempfile.TemporaryDirectory() as folder:
            try:
                said.append(quantize(folder))
            except SearchError as error:
                said.append(f"{name} fails: {error}")
            except Exception as error:  # PaddleSlim raises any type.
                said.append(f"{name} fails: {one_line(error)}")
    return "; ".join(said)


CHECKS: tuple[tuple[str, Callable[[Task], str]], ...] = (
    ("inputs", _check_inputs),
    ("eval_batches", _check_eval),
    ("train_batches", _check_train),
    ("build_model", _check_model),
    ("metric", _check_metric),
    ("loss", _check_loss),
    ("pruning groups", _check_groups),
    ("export", _check_export),
    ("quantization", _check_quantization),
)


def check_task(spec: str, options: Mapping[str, Any]) -> list[Demand]:
    """Return every demand of the contract: whether it is met, and a sentence."""
    try:
        with collected() as remarks:
            task = load_task(spec, options)
    except SearchError as error:
        return [Demand("loading", False, str(error))]
    demands = [
        Demand("loading", True, "; ".join([f"{type(task).__name__} {task.name!r}", *remarks]))
    ]
    for name, check in CHECKS:
        try:
            with collected() as remarks:
                said = check(task)
            # Every check builds the model; its remarks are given once.
            of_model = remarks if name == "build_model" else []
            demands.append(Demand(name, True, "; ".join([said, *of_model])))
        except _UnmetError as unmet:
            demands.append(Demand(name, False, str(unmet)))
        except SearchError as error:
            demands.append(Demand(name, False, str(error)))
        except Exception as error:  # The task's own code may raise anything.
            demands.append(Demand(name, False, f"raises {one_line(error)}"))
    return demands
