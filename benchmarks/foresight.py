"""How well the planner foresaw what the plans of finished runs lose.

    python -m benchmarks.foresight RUN ... [--set multiplier_spread=0.7 ...]

Each proposed plan's loss after full training is predicted from the plans before it, by the planner
with its settings or with others of `LossSettings`, and compared with what the run's end knows of
it: its loss, or the prediction from its last level. Prints a line per run.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from search.records.prospects import Prospects
from search.records.run_folder import RunFolder
from search.records.search_space import build_space, drop_untimed, with_mixtures
from search.reporting.findings import read_findings
from search.tune.plan_source import WARM_START
from spaces.planning.planner import Planner
from spaces.planning.settings import DEFAULT_SETTINGS, PlannerSettings

# A plan is hopeless from this multiple of the budget on, and foreseen as too lossy from the second.
# Guesses.
HOPELESS, FORESEEN = 2.5, 1.2
# Up to this multiple of the budget the size of the errors counts. A guess.
NEAR = 2.0


def foreseen(path: Path, settings: PlannerSettings) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the losses predicted for a run's proposed plans, those known at its end, each
    (plans,), and its budget."""
    run, stages = read_findings(str(path)), RunFolder(path)
    ledger, budget, timings = run.ledger, run.config.budget, stages.stage("latency")
    space = drop_untimed(build_space(run.config, run.baseline), stages.stage("references") or [])
    space = with_mixtures(space, run.int8, timings)
    planner = Planner(
        *(space, run.baseline.layers, run.sensitivities, timings, budget, settings),
        fidelity=ledger.fidelity,
        confidence_z=run.config.confidence_z,
        goal=ledger.goal,
        int8=run.int8,
    )
    prospects, predicted, known = Prospects(ledger), [], []
    for number in sorted(ledger.records):
        record = ledger.records[number]
        for own in ledger.known_of([record]):
            if record.origin != WARM_START:
                predicted.append(planner.predict([own.plan])[0][0])
                known.append(prospects.predicted([record])[0][0])
            planner.learn([own])
    return np.array(predicted), np.array(known), budget


def line(predicted: np.ndarray, known: np.ndarray, budget: float) -> str:
    """Return in words how many hopeless plans were not foreseen, and the error of the others."""
    hopeless, near = known > HOPELESS * budget, known <= NEAR * budget
    unforeseen = hopeless & (predicted <= FORESEEN * budget)
    errors = np.abs(np.maximum(predicted, 0) - known)[near] / budget
    error = f"mean error {errors.mean():.3f} of the budget" if near.any() else "no error"
    return (
        f"{len(known)} proposed, {hopeless.sum()} hopeless, {unforeseen.sum()} of them "
        f"unforeseen; the {near.sum()} near the budget: {error}"
    )


def settings_with(texts: Sequence[str]) -> PlannerSettings:
    """Return the planner's settings with some of its loss model's changed, each as name=value."""
    changed = {name: float(value) for name, value in (text.split("=") for text in texts)}
    return replace(DEFAULT_SETTINGS, loss=replace(DEFAULT_SETTINGS.loss, **changed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--set", nargs="*", default=[], help="settings of the loss model")
    chosen = parser.parse_args()
    settings = settings_with(chosen.set)
    for path in chosen.runs:
        print(f"{path}: {line(*foreseen(path, settings))}", flush=True)


if __name__ == "__main__":
    main()
