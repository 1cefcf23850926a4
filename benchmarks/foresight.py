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

from search.records.ledger import Ledger
from search.records.run_folder import RunFolder, read_config
from search.records.search_space import build_space, drop_untimed, with_mixtures
from search.records.tables import Store
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
    config, run = read_config(path), RunFolder(path)
    baseline, int8 = run.stage("baseline"), run.stage("layers")
    timings = run.stage("latency")
    int8 = int8 if int8 is not None and int8.layers else None
    space = drop_untimed(build_space(config, baseline), run.stage("references") or [])
    ledger = Ledger.of_run(Store(path), config, space.groups, baseline)
    space = with_mixtures(space, int8, timings)
    predicted, known = [], []
    records = [ledger.records[number] for number in sorted(ledger.records)]
    for count, record in enumerate(records):
        if record.origin == WARM_START or not ledger.known_of([record]):
            continue
        planner = Planner(
            *(space, baseline.layers, run.stage("sensitivity"), timings, config.budget, settings),
            fidelity=ledger.fidelity,
            confidence_z=config.confidence_z,
            goal=ledger.goal,
            int8=int8,
        )
        planner.learn(ledger.known_of(records[:count]))
        predicted.append(planner.predict([record.plan])[0][0])
        (own,) = ledger.known_of([record])
        after, _ = ledger.fidelity.predict(np.array([own.fidelity]), np.array([own.metric_loss]))
        known.append(after[0])
    return np.array(predicted), np.array(known), config.budget


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
