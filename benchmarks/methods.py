"""The methods that are compared. Each is a generator that yields a plan and is sent its result."""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ray.tune.search import Searcher

from benchmarks.setup import Setup
from search.records.ledger import Ledger
from search.records.tables import Store
from search.tune.plan_source import Sources
from search.tune.searcher import PlanSearcher
from spaces.heuristics import threshold_ratio, warm_starts
from spaces.plan import Plan, QuantizationChoice
from spaces.planning.planner import Planner
from spaces.planning.settings import (
    DEFAULT_SETTINGS,
    PlannerSettings,
    ProposalKind,
    ProposalSettings,
)
from trainables.files.codec import encode
from trainables.results import TrialResult
from trainables.trainable import PLAN, RESULT

Evaluations = Generator[Plan, TrialResult, None]
Method = Callable[[Setup, int], Evaluations]

FLOAT, PTQ = QuantizationChoice.FLOAT, QuantizationChoice.INT8_PTQ
# A dozen thresholds of one group's loss. A guess: PaddleX leaves the choice to its user.
THRESHOLDS = np.geomspace(0.01, 0.9, 12)
# Of a loss of 1 beyond the budget, in latency ratios: plain Optuna has no constraints. A guess.
PENALTY = 10.0


def _then_int8(setup: Setup, count: int, floats: list[Plan]) -> Evaluations:
    """Try the plans in float, then in INT8: first those within the budget, by ascending latency."""
    done = []
    for plan in floats[:count]:
        result = yield plan
        done.append((plan, result))

    def rank(item: tuple[Plan, TrialResult]) -> tuple[bool, float]:
        loss, ratio = item[1].metric_loss, item[1].latency_ratio
        return loss is None or loss > setup.budget, ratio if ratio is not None else np.inf

    for plan, _ in sorted(done, key=rank)[: count - len(done)]:
        yield Plan.of(dict(plan.ratios), PTQ)


def threshold_sweep(setup: Setup, count: int) -> Evaluations:
    """PaddleX's rule: one loss for every group alone, at a dozen thresholds, channels unaligned."""
    floats = [
        Plan.of(
            {
                group.name: min(0.9, threshold_ratio(setup.sensitivities[group.name], threshold))
                for group in setup.space.groups
            },
            FLOAT,
        )
        for threshold in THRESHOLDS
    ]
    return _then_int8(setup, count, list(dict.fromkeys(floats)))


def aligned_threshold_sweep(setup: Setup, count: int) -> Evaluations:
    """The threshold sweep with aligned channels, an option of PaddleSlim."""
    inner = threshold_sweep(setup, count)
    plan = next(inner)
    while True:
        result = yield setup.space.snap(plan)
        try:
            plan = inner.send(result)
        except StopIteration:
            return


def uniform_sweep(setup: Setup, count: int) -> Evaluations:
    """PaddleSeg's `pruning_ratio`: one ratio in all groups, a dozen of them."""
    floats = [
        Plan.of({group.name: ratio for group in setup.space.groups}, FLOAT)
        for ratio in np.linspace(0.075, 0.9, 12)
    ]
    return _then_int8(setup, count, floats)


def int8_alone(setup: Setup, count: int) -> Evaluations:
    """Quantization without pruning."""
    for choice in (PTQ, QuantizationChoice.INT8_QAT, QuantizationChoice.INT8_QAT_PACT):
        yield Plan.of({}, choice)


def random_search(setup: Setup, count: int) -> Evaluations:
    rng = np.random.default_rng(setup.seed)
    for _ in range(count):
        choice = setup.space.choices[rng.integers(len(setup.space.choices))]
        yield setup.space.snap(
            Plan.of({g.name: float(rng.uniform(0, 0.9)) for g in setup.space.groups}, choice)
        )


def plain_optuna(setup: Setup, count: int) -> Evaluations:
    """Ray's own OptunaSearch over ratios; loss beyond the budget is penalised."""
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    logging.getLogger("ray.tune.search.optuna").setLevel(logging.ERROR)
    space = {group.name: tune.uniform(0, 0.9) for group in setup.space.groups}
    space["quantization"] = tune.choice([choice.value for choice in setup.space.choices])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        searcher = OptunaSearch(space=space, metric="score", mode="min", seed=setup.seed)
    for number in range(count):
        flat = dict(searcher.suggest(str(number)))
        choice = QuantizationChoice(flat.pop("quantization"))
        result = yield Plan.of(flat, choice)
        if result.metric_loss is None or result.latency_ratio is None:
            searcher.on_trial_complete(str(number), error=True)
            continue
        beyond = max(0.0, result.metric_loss - setup.budget)
        score = result.latency_ratio + PENALTY * beyond
        searcher.on_trial_complete(str(number), {"score": score, "training_iteration": 1})


def _searched(sources: Sources, setup: Setup, count: int) -> Iterator[Plan]:
    """Run our searcher without Ray, one trial at a time."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        store.create()
        ledger = Ledger(store, setup.budget, setup.space.groups)
        searcher = PlanSearcher(sources, ledger, Path(folder) / "optuna.journal", setup.seed)
        for number in range(count):
            suggestion = searcher.suggest(str(number))
            if suggestion == Searcher.FINISHED:
                return
            result = yield Plan.from_json(json.loads(suggestion[PLAN]))
            searcher.on_trial_complete(str(number), {RESULT: encode(TrialResult, result)})


def planner_of(setup: Setup, settings: PlannerSettings = DEFAULT_SETTINGS, **more: Any) -> Planner:
    """Return the planner of a problem as it is set up; `more` are further arguments of Planner."""
    known = (setup.space, setup.layers, setup.sensitivities, setup.timings, setup.budget)
    return Planner(*known, settings, **more)


def _ours_with(settings: PlannerSettings) -> Method:
    """Return our search with these settings of the planner."""

    def method(setup: Setup, count: int) -> Evaluations:
        planner = planner_of(setup, settings)
        return _searched(Sources(setup.space, planner, planner.warm_starts()), setup, count)

    return method


def _with_turns(*turns: ProposalKind | None) -> PlannerSettings:
    return replace(DEFAULT_SETTINGS, proposals=ProposalSettings(turns))


def _without(kind: ProposalKind) -> PlannerSettings:
    """Return settings in which this kind's turns are left to Optuna."""
    turns = DEFAULT_SETTINGS.proposals.turns
    return _with_turns(*(None if turn is kind else turn for turn in turns))


def without_latency_table(setup: Setup, count: int) -> Evaluations:
    """No plans are timed beforehand: latency follows the arithmetic until trials are finished."""
    planner = Planner(setup.space, setup.layers, setup.sensitivities, (), setup.budget)
    return _searched(Sources(setup.space, planner, planner.warm_starts()), setup, count)


def without_warm_starts(setup: Setup, count: int) -> Evaluations:
    return _searched(Sources(setup.space, planner_of(setup)), setup, count)


def threshold_warm_starts(setup: Setup, count: int) -> Evaluations:
    first = warm_starts(setup.space, setup.sensitivities, setup.budget)
    return _searched(Sources(setup.space, planner_of(setup), first), setup, count)


def layers_sampled(setup: Setup, count: int) -> Evaluations:
    """Optuna samples every group's channels; the warm starts are threshold plans."""
    first = warm_starts(setup.space, setup.sensitivities, setup.budget)
    return _searched(Sources(setup.space, first=first), setup, count)


def layers_after_knapsack(setup: Setup, count: int) -> Evaluations:
    """Optuna samples every group's channels; the warm starts are the planner's."""
    first = planner_of(setup).warm_starts()
    return _searched(Sources(setup.space, first=first), setup, count)


METHODS: dict[str, Method] = {
    "threshold sweep, INT8": threshold_sweep,
    "uniform sweep, INT8": uniform_sweep,
    "INT8 alone": int8_alone,
    "plain Optuna": plain_optuna,
    "random": random_search,
    "ours": _ours_with(DEFAULT_SETTINGS),
}

VARIANTS: dict[str, Method] = {
    "aligned threshold sweep, INT8": aligned_threshold_sweep,
    "without optimum": _ours_with(_without(ProposalKind.OPTIMUM)),
    "without neighbours": _ours_with(_without(ProposalKind.NEIGHBOUR)),
    "without filling": _ours_with(_without(ProposalKind.FILLING)),
    "without learning": _ours_with(replace(DEFAULT_SETTINGS, learns=False)),
    "without latency table": without_latency_table,
    "without warm starts": without_warm_starts,
    "with sampling": _ours_with(
        _with_turns(None, ProposalKind.OPTIMUM, ProposalKind.NEIGHBOUR, ProposalKind.FILLING)
    ),
    "threshold warm starts": threshold_warm_starts,
    "channels sampled, threshold warm starts": layers_sampled,
    "channels sampled, knapsack warm starts": layers_after_knapsack,
}
