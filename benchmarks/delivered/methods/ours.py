"""This search, whole and without each of its parts that a setting takes away.

Without the model of fidelity it is the search as it was (before.py). Without compute budgets there
is no form of it: levels, promotion and distillation are counted in compute.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.delivered.methods.searches import search
from benchmarks.delivered.model import DeliveredModel
from benchmarks.delivered.problems import Problem
from benchmarks.delivered.team import work_folder
from search.config import RunConfig

REPOSITORY = Path(__file__).parents[3]

# Deadline of a search, as a share of its processor time: on two cores it uses 1.62 to 1.68 of the
# processor's seconds a second, and ends a tenth before it (LOG: whole flows, the first seed).
DEADLINE = 0.6
WITHOUT_BRANCHES = "without branches"
# Settings that take one part away.
WITHOUT: dict[str, Mapping[str, Any]] = {
    # One level: every plan is trained in full, as many as there is time for.
    "without promotion": {"finetune_samples": RunConfig.model_fields["retrain_samples"].default},
    "without distillation": {"distillation": 0.0},
    WITHOUT_BRANCHES: {"branches": False},
}


def planned(problem: Problem, seed: int, seconds: float, folder: Path) -> dict[str, Any]:
    """Return the settings of our search: the time as its deadline, all else by default."""
    return {
        **problem.command_settings(work_folder(folder)),
        "budget": problem.budget,
        "seed": seed,
        "cache": str(folder / "cache"),
        "within": f"{DEADLINE * seconds:g}s",
    }


def deliver(problem: Problem, seed: int, seconds: float, folder: Path) -> DeliveredModel:
    return search(planned(problem, seed, seconds, folder), REPOSITORY, seconds, folder)


def deliver_on_fastest(problem: Problem, seed: int, seconds: float, folder: Path) -> DeliveredModel:
    """Deliver by our search for the fastest engine of this machine."""
    settings = {**planned(problem, seed, seconds, folder), "engine": "auto"}
    return search(settings, REPOSITORY, seconds, folder)


def deliver_without(
    problem: Problem, seed: int, seconds: float, folder: Path, *, name: str
) -> DeliveredModel:
    """Deliver by our search without one of its parts."""
    settings = {**planned(problem, seed, seconds, folder), **WITHOUT[name]}
    return search(settings, REPOSITORY, seconds, folder, **WITHOUT[name])
