"""INT8 without pruning: by calibration, or by quantization-aware training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from benchmarks.delivered import workshop
from benchmarks.delivered.model import Candidate, DeliveredModel
from benchmarks.delivered.problems import Problem
from benchmarks.delivered.team import WORKERS, Team
from spaces.plan import CalibrationAlgorithm, QuantizationChoice


def _best(team: Team, found: Sequence[Candidate]) -> DeliveredModel:
    """Return the model that loses least: all are equally fast."""
    kept = [candidate for candidate in found if candidate.keeps(team.problem.budget)]
    chosen = min(kept, key=lambda candidate: candidate.metric_loss, default=None)
    return DeliveredModel.of(chosen, team.used, models=len(found), failures=team.failures)


def deliver_calibrated(problem: Problem, seed: int, seconds: float, folder: Path) -> DeliveredModel:
    """Post-training quantization by every calibration algorithm, as far as the time allows."""
    with Team(problem, seed, seconds, folder) as team:
        team.ask(workshop.measure_baseline)
        source = team.ask(workshop.unpruned)
        found: list[Candidate] = []
        cost_s = 0.0
        algorithms = get_args(CalibrationAlgorithm)
        for start in range(0, len(algorithms), WORKERS):
            if team.left < cost_s:
                break
            before_s = team.used
            jobs = [
                (source, QuantizationChoice.INT8_PTQ, 0, f"ptq-{algorithm}", algorithm)
                for algorithm in algorithms[start : start + WORKERS]
            ]
            found += team.ask_all(workshop.quantize, jobs)
            cost_s = team.used - before_s
        return _best(team, found)


def deliver_trained(problem: Problem, seed: int, seconds: float, folder: Path) -> DeliveredModel:
    """Quantization-aware training, plain and with PACT."""
    with Team(problem, seed, seconds, folder) as team:
        team.ask(workshop.measure_baseline)
        source = team.ask(workshop.unpruned)
        samples = team.lengths.full_quantized
        jobs = [
            (source, choice, samples, choice.value)
            for choice in (QuantizationChoice.INT8_QAT, QuantizationChoice.INT8_QAT_PACT)
        ]
        return _best(team, team.ask_all(workshop.quantize, jobs))
