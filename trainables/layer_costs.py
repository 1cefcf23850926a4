"""What INT8 costs and brings in each layer of the unpruned model, on the engine."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from spaces.errors import TrialError, one_line
from spaces.mixing import LayerCost, WholeInt8
from spaces.plan import QuantizationChoice
from trainables.compression.quantization import export_candidate, layer_precisions, weight_names
from trainables.context import TrialContext
from trainables.deployment.engines.protocol import Engine
from trainables.deployment.engines.registry import chosen_runtime
from trainables.deployment.export import output_difference
from trainables.evaluation import first_samples
from trainables.files.cache import JsonCache, fingerprint_of, processor
from trainables.models import new_model
from trainables.probe import FULL, mean_ratio, time_in_turn

# Part of the cache key: raise it with every change that alters results.
ALGORITHM = "all-but-one-2"


class LayerProbe:
    """Measures layers of one model, which is built and quantized throughout once."""

    def __init__(self, context: TrialContext, folder: Path) -> None:
        self._context, self._folder = context, folder
        self._model = new_model(context.task)
        self._samples = first_samples(context.task, context.settings.eval_batch)
        self._expected = context.baseline_engine.run(self._samples)
        self._whole = self._export("whole", ())
        self.damage = self._difference(self._whole) ** 2
        """In INT8 throughout."""

    def whole_loss(self) -> float:
        """Return the relative loss of the metric in INT8 throughout."""
        loss = self._context.measure(self._whole.run, 0, 1.0).metric_loss
        assert loss is not None
        return loss

    def whole_layers(self) -> tuple[str, ...]:
        """Return the layers that run in INT8 then."""
        found = layer_precisions(self._model, self._whole)
        return tuple(layer for layer, precision in found.items() if precision == "int8")

    def _export(self, name: str, float_layers: Sequence[str]) -> Engine:
        context = self._context
        engine, _ = export_candidate(
            *(self._model, QuantizationChoice.INT8_PTQ, None, context.task, context.settings),
            self._folder / name,
            float_layers=float_layers,
        )
        return engine

    def _difference(self, engine: Engine) -> float:
        return output_difference(engine.run(self._samples), self._expected)

    def cost(self, layer: str) -> LayerCost:
        """Return what a layer costs in INT8. Raises TrialError for an unknown layer, or one that
        stays in INT8 in any case."""
        context = self._context
        if layer not in weight_names(self._model):
            raise TrialError(f"the model has no layer {layer}")
        engine = self._export("but-one", [layer])
        if layer_precisions(self._model, engine).get(layer) == "int8":
            raise TrialError(f"the engine quantizes {layer} all the same")
        effort = FULL.times(context.settings.latency_effort)
        engines = [engine, self._whole]
        runs_ms = time_in_turn(engines, context.latency_batches, context.lease, effort)
        return LayerCost(
            layer,
            metric_loss=context.measure(engine.run, 0, 1.0).metric_loss,
            damage=self.damage - self._difference(engine) ** 2,
            latency_ratio=mean_ratio(runs_ms[:, 0], runs_ms[:, 1]),
        )


def _cache(context: TrialContext) -> tuple[JsonCache, tuple[object, ...]]:
    """Return the cache of layers, and what the key of each starts with."""
    settings = context.settings
    parts = (
        *(ALGORITHM, context.baseline.fingerprint, settings.calibration, settings.seed),
        *(settings.calibration_samples, settings.latency_batch, settings.latency_effort),
        *(settings.threads, chosen_runtime(settings).describe("int8"), processor()),
    )
    return JsonCache(settings.cache / "layers"), parts


def measure_int8(context: TrialContext) -> tuple[WholeInt8, list[LayerCost]]:
    """Return what the unpruned model loses in INT8 throughout, measured or from the cache, and the
    costs of its layers that are in the cache."""
    cache, parts = _cache(context)
    key = fingerprint_of(*parts, "throughout")
    found = cache.get(key, WholeInt8)
    if found is None:
        found = _whole(context)
        if found.reason is None:
            cache.put(key, WholeInt8, found)
    costs = (cache.get(fingerprint_of(*parts, layer), LayerCost) for layer in found.layers)
    return found, [cost for cost in costs if cost is not None]


def _whole(context: TrialContext) -> WholeInt8:
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        try:
            probe = LayerProbe(context, Path(folder))
            loss, layers = probe.whole_loss(), probe.whole_layers()
        except Exception as error:  # A search goes on without mixtures.
            return WholeInt8(None, None, (), 0.0, one_line(error))
    spent_s = time.perf_counter() - started
    timing_s = FULL.times(context.settings.latency_effort).seconds
    return WholeInt8(loss, probe.damage, layers, spent_s + timing_s)


def measure_layers(layers: Sequence[str], context: TrialContext) -> list[tuple[LayerCost, bool]]:
    """Return each layer's cost, and whether it was in the cache; costs on another engine or
    processor, or of another calibration, are others."""
    cache, parts = _cache(context)
    found = []
    probe: LayerProbe | None = None
    with tempfile.TemporaryDirectory() as folder:
        for layer in layers:
            key = fingerprint_of(*parts, layer)
            known = cache.get(key, LayerCost)
            if known is None:
                probe = probe or LayerProbe(context, Path(folder))
                try:
                    cost = probe.cost(layer)
                except Exception as error:  # One layer that cannot be measured leaves the others.
                    cost = LayerCost(layer, None, None, None, one_line(error))
                else:
                    cache.put(key, LayerCost, cost)
                found.append((cost, False))
            else:
                found.append((known, True))
    return found
