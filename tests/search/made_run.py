"""A run folder of made-up trials, as a search leaves it: for tests of code that reads runs."""

import json
import math
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import yaml

from search.config import RunConfig
from search.records.ledger import Ledger
from search.records.manifest import Manifest
from search.records.run_folder import CONFIG, STAGES_FORMAT, RunFolder
from search.records.search_space import build_space
from search.records.tables import Store
from search.records.trial_record import TrialRecord
from search.reporting.findings import read_findings
from spaces.layers import Layer
from spaces.mixing import Int8Costs, LayerCost
from spaces.plan import Plan, PruningGroup, QuantizationChoice
from trainables.results import Baseline, Excluded, TrialResult

GROUPS = {"stem.conv.weight": 32, "stages.0.blocks.0.depthwise.conv.weight": 64, "head.weight": 96}
FLOAT, PTQ = QuantizationChoice.FLOAT, QuantizationChoice.INT8_PTQ
BUDGET = 0.1
INT8 = Int8Costs(
    *(0.07, 0.2, 0.4),
    layers=(
        LayerCost("stem", 0.06, 0.001, 1.2),
        LayerCost("head", 0.01, 0.2, 1.05),
        LayerCost("gate", None, None, None, "it fails"),
    ),
)
BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)

MANIFEST = {
    "task": "fashion_mnist",
    "budget": BUDGET,
    "seed": 0,
    "versions": {},
    "trials": {"finished": 12, "complete": 9, "feasible": 6, "failed": 1, "repeats": 0},
    "retrained": [],
    "input": {
        "name": "image",
        "shape": [None, 1, 28, 28],
        "dtype": "float32",
        "layout": "NCHW",
        "channel_order": "RGB",
        "scale": 1.0,
        "mean": [0.0],
        "std": [1.0],
    },
    "more_inputs": [],
    "engine_config": {},
    "stages_s": {},
    "sha256": {},
    "metric": {
        "name": "top1_accuracy",
        "maximize": True,
        "baseline_val": 0.9,
        "winner_val": 0.85,
        "loss_val": 0.0556,
        "loss_val_standard_error": 0.004,
        "baseline_test": 0.89,
        "winner_test": 0.79,
        "loss_test": 0.1124,
        "loss_test_standard_error": 0.004,
        "within_budget_on_test": False,
    },
    "latency_ms": {
        "baseline": 20.0,
        "winner": 4.0,
        "ratio": 0.2,
        "batch_size": 64,
        "threads": 1,
        "engine": "paddle_inference_onednn",
    },
    "size_bytes": {"baseline": 1_000_000, "winner": 200_000},
}


def manifest(**changes):
    return Manifest.model_validate({**MANIFEST, **changes})


def baseline(**changes):
    """Return what a baseline's stage leaves, but for these fields."""
    names = list(GROUPS)
    layers = [
        Layer(
            name,
            multiply_adds=1_000_000 * (index + 1),
            values=10_000,
            out_channels=GROUPS[name],
            in_channels=GROUPS[names[index - 1]] if index else 3,
            outputs={name: 1.0},
            inputs={names[index - 1]: 1.0} if index else {},
        )
        for index, name in enumerate(names)
    ]
    found = Baseline(
        metric_name="top1_accuracy",
        maximize=True,
        metric=0.9,
        latency_ms=20.0,
        size_bytes=1_000_000,
        fingerprint="f",
        groups=tuple(PruningGroup(name, count, (name,)) for name, count in GROUPS.items()),
        excluded=(Excluded("neck.weight", "a reshape mixes <its> channels"),),
        layers=tuple(layers),
        choices=(
            QuantizationChoice.FLOAT,
            QuantizationChoice.INT8_PTQ,
            QuantizationChoice.INT8_QAT,
        ),
        inputs=(),
        train_s=0.001,
        evaluate_s=0.5,
    )
    return replace(found, **changes)


def result_of(number, plan):
    """Return a result: the more is pruned, the faster and the worse; some stopped, one failed."""
    pruned = sum(ratio for _, ratio in plan.ratios) / len(GROUPS)
    if number % 10 == 7:
        return TrialResult("FAILED", reason="the training loss became nan at step 3")
    ratio = (1 - 0.7 * pruned) * (1.0 if plan.quantization is QuantizationChoice.FLOAT else 0.4)
    if number % 10 == 3:
        return TrialResult("STOPPED", reason="too slow", latency_ratio=ratio, worker="host:1")
    loss = 0.4 * pruned**2 + 0.003 * math.sin(number)
    return TrialResult(
        "COMPLETE",
        metric=0.9 * (1 - loss),
        metric_loss=loss,
        standard_error=0.004,
        latency_ms=20 * ratio,
        baseline_latency_ms=20.0,
        latency_ratio=ratio,
        size_bytes=round(1e6 * ratio),
        worker="host:1",
        seconds={"prune": 0.5, "finetune": 9.0, "evaluate": 1.0, "latency": 2.0},
    )


def plan_of(number):
    kept = {
        name: ((number * (index + 3)) % 8) / 8 for index, name in enumerate(GROUPS) if number > 0
    }
    choice = (QuantizationChoice.FLOAT, QuantizationChoice.INT8_PTQ)[number % 2]
    return Plan.of(kept, choice)


def make_run(path, trials=0, *, stages=True, planned=24, budget=BUDGET, **settings):
    """Return the folder of a run that has come so far: its settings, its stages, its trials."""
    path.mkdir(parents=True, exist_ok=True)
    config = RunConfig(budget=budget, trials=planned, out=str(path), **settings)
    (path / CONFIG).write_text(yaml.safe_dump(config.model_dump(mode="json")))
    run, store = RunFolder(path), Store(path)
    run.finish_stage("format", STAGES_FORMAT)
    store.create()
    if stages:
        run.finish_stage("baseline", baseline())
        run.finish_stage(
            "sensitivity",
            {name: [(0.25, 0.02), (0.5, 0.06), (0.75, 0.2)] for name in GROUPS},
        )
        run.finish_stage("layers", INT8)
        run.finish_stage(
            "latency",
            [
                (Plan.of({}, FLOAT), 1.0),
                (Plan.of({}, PTQ), 0.4),
                (Plan.of(dict.fromkeys(GROUPS, 0.5), PTQ), 0.25),
                (Plan.of(dict.fromkeys(GROUPS, 0.5), FLOAT), 0.6),
            ],
        )
        run.finish_stage("seconds", {"baseline": 9.0, "sensitivity": 12.0, "search": 80.0})
    groups = build_space(config, baseline()).groups
    ledger = Ledger.load(store, budget, groups, baseline().layers)
    for number in range(trials):
        plan = plan_of(number)
        began = BEGAN + timedelta(seconds=10 * number)
        origin = "warm_start" if number < 3 else "sampled"
        ledger.record(TrialRecord(number, plan, origin, result_of(number, plan), began, 15.0))
    return path


def finish(run, **changes):
    """Return a made run with a manifest: the first of its front was over the budget after its full
    training, the second was delivered, at other figures than its trial's. `changes` are of the
    manifest."""
    figures = {"metric_val": 0.85, "standard_error": 0.004}
    rejected, delivered, *_ = (r.number for r in read_findings(str(run)).ledger.front())
    retrained = [
        {**figures, "trial": rejected, "loss_val": 0.105, "accepted": False},
        {**figures, "trial": delivered, "loss_val": 0.0556, "accepted": True},
    ]
    (run / "manifest.json").write_text(json.dumps({**MANIFEST, "retrained": retrained, **changes}))
    return run
