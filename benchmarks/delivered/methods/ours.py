"""This search, whole and without each of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.delivered.methods.searches import search, settings_of
from benchmarks.delivered.model import DeliveredModel
from benchmarks.delivered.problems import Problem
from search.config import RunConfig

REPOSITORY = Path(__file__).parents[3]

# Settings that take one part away; None where it has no setting yet.
WITHOUT: dict[str, Mapping[str, Any] | None] = {
    "without fidelity model": None,
    "without promotion": None,
    "without compute budgets": None,
    "without distillation": {"distillation": 0.0},
    "without learning rate by share": None,
}
# Settings of the search as it was that this one may no longer have are left out.
KNOWN = RunConfig.model_fields


def planned(problem: Problem, seed: int, seconds: float, folder: Path) -> dict[str, Any]:
    """Return the settings of our search, without those that it does not have."""
    settings = settings_of(problem, seed, seconds, folder)
    settings["trials"] = problem.lengths.within(seconds).trials
    return {name: value for name, value in settings.items() if name in KNOWN}


def deliver(problem: Problem, seed: int, seconds: float, folder: Path) -> DeliveredModel:
    return search(planned(problem, seed, seconds, folder), REPOSITORY, seconds, folder)


def deliver_without(
    problem: Problem, seed: int, seconds: float, folder: Path, *, name: str
) -> DeliveredModel:
    """Deliver by our search without one of its parts. Raises ValueError if it has no setting."""
    overrides = WITHOUT[name]
    if overrides is None:
        raise ValueError(f"{name}: the search has no setting for it")
    settings = {**planned(problem, seed, seconds, folder), **overrides}
    return search(settings, REPOSITORY, seconds, folder, **overrides)
