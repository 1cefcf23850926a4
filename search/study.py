"""One study: the stages from a budget to a delivered model, in order, a function each.

Every stage leaves its outcome in the run folder, and a resumed study begins with the
first one that has none.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clusters.connect import connected
from search.config import RunConfig
from search.deliver import deliver
from search.ledger import Ledger
from search.progress import Display, percent, ratio_text, trial_table
from search.retrain import retrain_winner
from search.run_folder import RunFolder, run_once
from search.store import Store
from search.surveys import study_latency, study_references, study_sensitivity
from search.tuning import search_plans
from search.workers import call_worker
from spaces.encoding import Encoding, LayerEncoding
from spaces.errors import ConfigError
from spaces.heuristics import warm_starts
from spaces.layers import Layer
from spaces.plan import PruningGroup, QuantizationChoice
from spaces.planner import Planner
from spaces.space import Space
from trainables.jobs import baseline_job
from trainables.settings import TrialSettings


def cache_folder(config: RunConfig) -> Path:
    """Return where results that outlive a study are kept."""
    if config.cache:
        return Path(config.cache).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "slimsearch"


def trial_settings(config: RunConfig, run: RunFolder) -> TrialSettings:
    """Return what the workers are told."""
    return TrialSettings(
        task=config.task,
        task_options=config.task_options,
        run_folder=str(run.path),
        cache_folder=str(cache_folder(config)),
        seed=config.seed,
        rungs=tuple(config.rungs),
        criterion=config.criterion,
        finetune_samples=config.finetune_samples,
        finetune_steps=config.finetune_steps,
        qat_samples=config.qat_samples,
        retrain_samples=config.retrain_samples,
        retrain_qat_samples=config.retrain_qat_samples,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        calibration=config.calibration,
        calibration_samples=config.calibration_samples,
        eval_batch=config.eval_batch,
        latency_batch=config.latency_batch,
        threads=config.threads,
    )


@contextmanager
def timed(run: RunFolder, display: Display, stage: str, text: str) -> Iterator[None]:
    """Announce a stage, and keep its wall seconds also beyond a crash."""
    with display.stage(stage, text):
        yield
    run.finish_stage("seconds", display.stages_s)


def study_baseline(
    run: RunFolder, settings: TrialSettings, store: Store, gpus: float
) -> dict[str, Any]:
    """Return the baseline's figures, as `trainables.baseline.Baseline.to_json`."""

    def compute() -> dict[str, Any]:
        baseline: dict[str, Any] = call_worker(baseline_job, settings, gpus=gpus)
        row = {
            "stage": "baseline",
            "latency_ms": baseline["latency_ms"],
            "baseline_latency_ms": baseline["latency_ms"],
            "ratio": 1.0,
            "batch_size": settings.latency_batch,
            "threads": settings.threads,
            "reused": False,
        }
        store.write("latency", "baseline", [row])
        return baseline

    found: dict[str, Any] = run_once(run, "baseline", compute)
    return found


def build_space(config: RunConfig, baseline: dict[str, Any]) -> Space:
    """Return the search space: the groups found, and the choices asked for that exist here."""
    offered = [QuantizationChoice(choice) for choice in baseline["choices"]]
    choices = tuple(c for c in offered if config.choices is None or c in config.choices)
    if not choices:
        raise ConfigError(
            f"choices {[choice.value for choice in config.choices or []]}: this machine's engine "
            f"offers only {', '.join(choice.value for choice in offered)}; give one of those"
        )
    groups = tuple(
        PruningGroup(item["name"], item["channels"], tuple(item["members"]), item["unit"])
        for item in baseline["groups"]
    )
    return Space(groups, choices, config.alignment, config.max_ratio)


def run_study(config: RunConfig, run: RunFolder, display: Display) -> Path:
    """Return the folder of the delivered model. Raises SearchError where there is none."""
    settings = trial_settings(config, run)
    store = Store(run.path)
    store.create()
    display.stages_s.update(run.stage("seconds") or {})
    with connected(config.address, config.threads, display.say) as cluster:
        display.say(
            f"{'ray':<12} {cluster.cpus} cores, {cluster.gpus} GPUs, "
            f"dashboard http://{cluster.dashboard} (token: ray get-auth-token)"
        )
        display.say(f"{'run':<12} {run.path}")
        with timed(run, display, "baseline", f"{config.task}: evaluate, export, time"):
            baseline = study_baseline(run, settings, store, config.gpus_per_trial)
        display.say(
            f"{'':<12} {baseline['metric_name']} {baseline['metric']:.4f} on val, "
            f"{baseline['latency_ms']:.2f} ms a batch of {settings.latency_batch}, "
            f"{baseline['size_bytes'] / 1e3:,.0f} kB, {len(baseline['groups'])} pruning groups"
        )
        for left_out in baseline["left_out"]:
            display.say(f"{'':<12} left out: {left_out['name']}: {left_out['reason']}")
        space = build_space(config, baseline)
        ledger = Ledger.load(store, config.budget, space.groups)
        with timed(run, display, "sensitivity", "each group alone, at each ratio"):
            sensitivities = study_sensitivity(
                config, run, settings, baseline, space, store, display
            )
        with timed(run, display, "references", "models that all others are timed beside"):
            baseline = study_references(config, run, settings, baseline, space, store, display)
        layers = tuple(Layer(**item) for item in baseline["layers"])
        if config.sampler == "knapsack" and space.groups:
            with timed(run, display, "latency", "shapes of plans, to predict all others"):
                timings = study_latency(config, run, settings, baseline, space, store, display)
            planner = Planner(space, layers, sensitivities, timings, config.budget)
            encoding: Encoding = planner
            first = planner.warm_starts()
        else:
            encoding = LayerEncoding(space)
            first = warm_starts(space, sensitivities, config.budget)
        with timed(
            run, display, "search", f"{config.trials} plans within a loss of {config.budget:g}"
        ):
            repeats = search_plans(
                config,
                run,
                settings,
                baseline,
                encoding,
                first,
                ledger,
                cluster,
                display,
            )
        with timed(
            run, display, "retrain", "the fastest feasible plans in full, until one keeps it"
        ):
            winner = retrain_winner(config, run, settings, baseline, ledger, cluster, display)
        with timed(
            run, display, "deliver", "time both, read the test split once, write the manifest"
        ):
            manifest = deliver(
                config, run, settings, baseline, ledger, store, winner, repeats, display
            )
    shutil.rmtree(run.path / "ray", ignore_errors=True)
    display.console.print(trial_table(ledger.front(), config.budget, "\nPareto front on val"))
    figures = manifest.metric
    display.say(
        f"\nwinner: trial {winner['trial']}, latency "
        f"{ratio_text(manifest.latency_ms.ratio)}, size "
        f"{manifest.size_bytes.baseline / manifest.size_bytes.winner:.1f}x smaller, "
        f"{figures.name} {figures.baseline_test:.4f} to {figures.winner_test:.4f} on test "
        f"({percent(figures.loss_test)} loss, budget {percent(config.budget)})"
    )
    if not figures.within_budget_on_test:
        display.say(
            "MISSED: on the test split the model loses more than the budget. It kept it on "
            "validation; the test split is not searched on, so this is the model's true figure."
        )
    return run.path / "model"
