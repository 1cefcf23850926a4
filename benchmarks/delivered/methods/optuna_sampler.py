"""Optuna's strongest constrained multi-objective sampler, with trials of two Ray actors.

Every group's channels and the quantization are sampled. Objectives are latency ratio and loss; the
constraint is the loss of the trial. Trials train for as long as a user would choose; the fastest
that keeps the budget then trains in full, and if it no longer keeps it, the next one.

The sampler is GPSampler where torch is installed, else NSGA-II. torch is no dependency of this
project; its wheel for processors alone is enough.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
import ray

from benchmarks.delivered import workshop
from benchmarks.delivered.model import Candidate, DeliveredModel
from benchmarks.delivered.problems import Problem
from benchmarks.delivered.team import WORKERS, Team
from spaces.errors import one_line
from spaces.plan import Plan, QuantizationChoice
from spaces.space import IntegerParameter, Space
from trainables.results import Baseline

# Share of the processor time that is left for the training in full. A guess.
FULL_SHARE = 0.35
# Trials that are sampled at random first: Optuna's default for GPSampler.
STARTUP_TRIALS = 10
LOSS = "metric_loss"


def sampler(seed: int, budget: float) -> optuna.samplers.BaseSampler:
    """Return the strongest sampler whose dependencies are installed."""

    def constraints(trial: optuna.trial.FrozenTrial) -> Sequence[float]:
        return (trial.user_attrs.get(LOSS, 1.0) - budget,)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Constraints are experimental.
        if importlib.util.find_spec("torch") is None:
            return optuna.samplers.NSGAIISampler(seed=seed, constraints_func=constraints)
        return optuna.samplers.GPSampler(
            seed=seed, n_startup_trials=STARTUP_TRIALS, constraints_func=constraints
        )


def space_of(baseline: Baseline, budget: float) -> Space:
    """Return the search's own space."""
    from search.config import RunConfig
    from search.records.search_space import build_space

    return build_space(RunConfig(budget=budget), baseline)


def distributions(space: Space) -> dict[str, optuna.distributions.BaseDistribution]:
    found: dict[str, optuna.distributions.BaseDistribution] = {}
    for name, parameter in space.parameters().items():
        if isinstance(parameter, IntegerParameter):
            found[name] = optuna.distributions.IntDistribution(
                parameter.low, parameter.high, step=parameter.step
            )
        else:
            found[name] = optuna.distributions.CategoricalDistribution(parameter.choices)
    return found


def run_plan(
    place: workshop.Place, plan: Plan, samples: int, quantized_samples: int, name: str
) -> Candidate:
    """Return a plan's model, trained and in the plan's precision, with its latency."""
    floats = Plan.of(dict(plan.ratios), QuantizationChoice.FLOAT)
    found = workshop.train(place, floats, samples, f"{name}-float")
    choice = plan.quantization
    if choice is not QuantizationChoice.FLOAT:
        found = workshop.quantize(place, found, choice, quantized_samples, name)
    return workshop.timed(place, found)


@ray.remote(num_cpus=1)
class Worker:
    """A Ray actor that has Paddle loaded."""

    def run(self, *arguments: Any) -> Candidate:
        return run_plan(*arguments)


class Search:
    """Trials of two actors, asked and told as they finish."""

    def __init__(self, team: Team, space: Space, seed: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.team, self.space = team, space
        self.study = optuna.create_study(
            directions=["minimize", "minimize"], sampler=sampler(seed, team.problem.budget)
        )
        self.distributions = distributions(space)
        self.kept: list[Candidate] = []

    def run(self, actors: Sequence[Any], until: Callable[[], bool]) -> None:
        """Run trials until `until`, then wait for those that are running."""
        lengths = self.team.lengths
        free, running = list(actors), {}
        while running or not until():
            while free and not until():
                trial = self.study.ask(self.distributions)
                plan = self.space.decode(trial.params)
                actor = free.pop()
                name = f"trial-{trial.number}"
                reference = actor.run.remote(
                    self.team.place, plan, lengths.trial, lengths.trial_quantized, name
                )
                running[reference] = trial, actor
            if running:
                (done,), _ = ray.wait(list(running), num_returns=1)
                trial, actor = running.pop(done)
                free.append(actor)
                self._tell(trial, done)

    def _tell(self, trial: optuna.Trial, reference: Any) -> None:
        try:
            found: Candidate = ray.get(reference)
        except Exception as error:  # Whatever the worker raised.
            self.team.failures.append(one_line(error))
            self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
            return
        trial.set_user_attr(LOSS, found.metric_loss)
        self.study.tell(trial, [found.latency_ratio, found.metric_loss])
        if found.metric_loss <= self.team.problem.budget:
            self.kept.append(found)

    def in_full(self, actors: Sequence[Any]) -> Candidate | None:
        """Train the fastest trials in full, one for each actor, until one keeps the budget."""
        lengths, cost_s = self.team.lengths, 0.0
        waiting = sorted(self.kept, key=lambda candidate: candidate.latency_ratio or 1.0)
        while waiting and self.team.left > cost_s:
            before_s = self.team.used
            now, waiting = waiting[: len(actors)], waiting[len(actors) :]
            asked = []
            for number, (actor, candidate) in enumerate(zip(actors, now, strict=False)):
                plan = candidate.plan or Plan()
                name = f"full-{len(waiting)}-{number}"
                asked.append(
                    actor.run.remote(
                        self.team.place, plan, lengths.full, lengths.full_quantized, name
                    )
                )
            found = [result for result in map(self._result, asked) if result is not None]
            kept = [candidate for candidate in found if candidate.keeps(self.team.problem.budget)]
            if kept:
                return min(kept, key=lambda candidate: candidate.latency_ratio or 1.0)
            cost_s = self.team.used - before_s
        return None

    def _result(self, reference: Any) -> Candidate | None:
        try:
            found: Candidate = ray.get(reference)
        except Exception as error:  # Whatever the worker raised.
            self.team.failures.append(one_line(error))
            return None
        return found


def deliver(problem: Problem, seed: int, seconds: float, folder: Path) -> DeliveredModel:
    with Team(problem, seed, seconds, folder) as team:
        baseline = team.ask(workshop.measure_baseline)
        search = Search(team, space_of(baseline, problem.budget), seed)
        ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False)
        try:
            actors = [Worker.remote() for _ in range(WORKERS)]
            search.run(actors, lambda: team.left < FULL_SHARE * seconds)
            chosen = search.in_full(actors)
        finally:
            ray.shutdown()
        return DeliveredModel.of(
            chosen,
            team.used,
            sampler=type(search.study.sampler).__name__,
            trials=len(search.study.trials),
            kept_in_trials=len(search.kept),
            failures=team.failures,
        )
