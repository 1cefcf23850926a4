"""PaddleX's whole flow: sensitivities, one threshold for all layers, training in full, INT8.

Thresholds are swept as far as the time allows: quadrupled until a model misses the budget, then
bisected. PaddleX leaves the threshold to its user. If no pruned model keeps the budget, the
unpruned one is quantized.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.delivered import workshop
from benchmarks.delivered.model import Candidate, DeliveredModel
from benchmarks.delivered.problems import Problem
from benchmarks.delivered.team import WORKERS, Team
from spaces.heuristics import threshold_ratio
from spaces.plan import Plan, QuantizationChoice

# PaddleX's ratios of a layer, the last also the highest ratio that it applies.
RATIOS = tuple(round(0.1 * step, 1) for step in range(1, 10))
# Processor seconds of post-training quantization, with its evaluation. A guess.
CALIBRATION_S = 10.0
# Factor between thresholds until one misses the budget. A guess.
GROWTH = 4.0
# Cost of a sample under quantization-aware training, relative to float. A guess.
QAT_COST = 2.0


def next_thresholds(tried: Mapping[float, bool], first: float, count: int) -> list[float]:
    """Return the next thresholds to try; `tried` says which kept the budget.

    From `first` upwards by `GROWTH` while all keep it, downwards while none does, else inside the
    interval between the highest that keeps it and the lowest above that does not, in equal ratios.
    """
    kept = [threshold for threshold, keeps in tried.items() if keeps]
    if not tried:
        return [first * GROWTH**step for step in range(count)]
    if not kept:
        return [min(tried) / GROWTH ** (step + 1) for step in range(count)]
    low = max(kept)
    above = [threshold for threshold, keeps in tried.items() if not keeps and threshold > low]
    if not above:
        return [low * GROWTH ** (step + 1) for step in range(count)]
    width = math.log(min(above) / low) / (count + 1)
    return [low * math.exp(width * (step + 1)) for step in range(count)]


def threshold_plan(curves: Mapping[str, Sequence[tuple[float, float]]], threshold: float) -> Plan:
    """Return the plan of PaddleX's rule, channels unaligned as PaddleX has them."""
    ratios = {
        group: min(RATIOS[-1], threshold_ratio(curve, threshold)) for group, curve in curves.items()
    }
    return Plan.of(ratios, QuantizationChoice.FLOAT)


def sweep(team: Team, curves: Mapping[str, list], reserve_s: float) -> list[Candidate]:
    """Return the models that keep the budget in float, the most pruned first."""
    tried: dict[float, bool] = {}
    plans: dict[Plan, Candidate] = {}
    found: dict[float, Candidate] = {}
    step_s = 0.0
    while team.left > reserve_s + step_s:
        before_s = team.used
        wanted = next_thresholds(tried, team.problem.budget, WORKERS)
        new = {value: threshold_plan(curves, value) for value in wanted}
        if all(plan in plans for plan in new.values()):
            break
        jobs = [(plan, team.lengths.full, plan.key) for plan in dict.fromkeys(new.values())]
        plans |= {c.plan: c for c in team.ask_all(workshop.train, jobs) if c.plan is not None}
        for value, plan in new.items():
            candidate = plans.get(plan)
            tried[value] = candidate is not None and candidate.keeps(team.problem.budget)
            if candidate is not None and tried[value]:
                found[value] = candidate
        step_s = team.used - before_s
    return list(dict.fromkeys(found[value] for value in sorted(found, reverse=True)))


def in_int8(team: Team, source: Candidate, cost_s: float) -> Candidate | None:
    """Return the better of both quantizations of a model, None if neither keeps the budget.

    Quantization-aware training is tried if `cost_s` of processor time are left for it.
    """
    key = source.plan.key if source.plan is not None else "unpruned"
    jobs: list = [(source, QuantizationChoice.INT8_PTQ, 0, f"{key}-ptq")]
    if team.left > cost_s:
        samples = team.lengths.full_quantized
        jobs.append((source, QuantizationChoice.INT8_QAT, samples, f"{key}-qat"))
    kept = [c for c in team.ask_all(workshop.quantize, jobs) if c.keeps(team.problem.budget)]
    return min(kept, key=lambda candidate: candidate.metric_loss, default=None)


def deliver(problem: Problem, seed: int, seconds: float, folder: Path) -> DeliveredModel:
    with Team(problem, seed, seconds, folder) as team:
        baseline = team.ask(workshop.measure_baseline)
        curves = team.ask(workshop.measure_sensitivities, RATIOS)
        training_s = QAT_COST * baseline.train_s * team.lengths.full_quantized
        floats = sweep(team, curves, CALIBRATION_S + training_s)
        chosen = None
        for source in floats or [team.ask(workshop.unpruned)]:
            chosen = in_int8(team, source, training_s)
            if chosen is not None or team.left < CALIBRATION_S:
                break
        return DeliveredModel.of(
            chosen or next(iter(floats), None),
            team.used,
            kept_in_float=len(floats),
            failures=team.failures,
        )
