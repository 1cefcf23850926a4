"""PaddleSlim's AutoCompression on the exported baseline, each run in a process of its own.

Strategies: what it chooses by itself, quantization-aware training, and the same after channel
pruning, with ratios swept as far as the time allows. All learn the baseline's outputs.

By itself, without a latency table for the processor, it tries one post-training quantization and
then trains under quantization unless the outputs moved by less than 0.00002. The try needs smac
1.4.0, which it would install, and its result is not used: here it goes to the training at once.
Its choice for a target speed-up names a class that does not exist (`Prune`).
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.delivered import workshop
from benchmarks.delivered.methods.act_child import PACE, CompressionJob
from benchmarks.delivered.model import Candidate, DeliveredModel
from benchmarks.delivered.problems import Problem
from benchmarks.delivered.team import WORKERS, Team
from spaces.errors import TrialError
from trainables.deployment.exported import MODEL_FILE
from trainables.files.codec import encode

# Peak learning rates that are compared in short runs; the best is used. A guess.
LEARNING_RATES = (0.001, 0.005, 0.02, 0.05)
# Learning rate under quantization, as a share of the one after pruning: PaddleSlim's own.
QUANTIZED_SHARE = 0.1
# The ratio that learning rates are compared at, and the first of the sweep.
FIRST_RATIO = 0.5
# Share of the flow's processor time for pruning, training and quantizing one model. A guess.
RUN_SHARE = 0.12
# Steps in a comparison of learning rates, as a share of a whole run's. A guess.
PILOT = 0.5
# Cost of a step under quantization, relative to float. A guess.
QUANTIZED_COST = 2.0
# Steps that show the pace. A guess.
PACE_STEPS = 20


def next_ratios(tried: dict[float, bool], count: int) -> list[float]:
    """Return the next ratios: halfway to 1 while all keep the budget, to 0 while none does, else
    inside the interval between the highest that keeps it and the lowest above that does not."""
    low = max((ratio for ratio, keeps in tried.items() if keeps), default=0.0)
    high = min((r for r, keeps in tried.items() if not keeps and r > low), default=1.0)
    return [round(low + (high - low) * (step + 1) / (count + 1), 3) for step in range(count)]


def run_child(place: workshop.Place, job: CompressionJob) -> str:
    """Run one job in a process of its own; return its target. Raises TrialError if it fails."""
    target = Path(job.target)
    target.mkdir(parents=True, exist_ok=True)
    (target / "job.json").write_text(encode(CompressionJob, job))
    command = [sys.executable, "-m", "benchmarks.delivered.methods.act_child"]
    with (target / "log").open("w") as log:
        ended = subprocess.run(
            [*command, str(target / "job.json")],
            cwd=target,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if ended.returncode != 0 or not (target / MODEL_FILE).is_file():
        lines = (target / "log").read_text().strip().splitlines()
        raise TrialError(f"AutoCompression: {lines[-1] if lines else ended.returncode}")
    return job.target


def compressed(place: workshop.Place, job: CompressionJob) -> Candidate:
    """Return the model of a job: after pruning in float, else in INT8."""
    folder = run_child(place, job)
    return workshop.examine(place, folder, "float" if job.ratio is not None else "int8")


def pruned_then_quantized(place: workshop.Place, job: CompressionJob) -> Candidate:
    """Return the model of a pruning job after quantization-aware training of as many steps."""
    run_child(place, job)
    then = replace(
        job,
        source=job.target,
        target=f"{job.target}-int8",
        ratio=None,
        learning_rate=QUANTIZED_SHARE * job.learning_rate,
    )
    return compressed(place, then)


class Sweep:
    """The jobs of one flow."""

    def __init__(self, team: Team) -> None:
        self.team = team
        settings = team.place.settings
        baseline = str(settings.baseline_folder)
        target = str(team.place.model_folder("act"))
        self._job = CompressionJob(team.place, baseline, baseline, target, None, 0.001, PACE_STEPS)
        self._count = 0

    def job(self, ratio: float | None, learning_rate: float, steps: int) -> CompressionJob:
        self._count += 1
        return replace(
            self._job,
            target=f"{self._job.target}-{self._count}",
            ratio=ratio,
            learning_rate=learning_rate,
            steps=steps,
        )

    def pace(self, ratio: float | None) -> float:
        """Return the processor seconds of a training step."""
        target = self.team.ask(run_child, self.job(ratio, LEARNING_RATES[0], PACE_STEPS))
        return float((Path(target) / PACE).read_text())

    def best_rate(self, steps: int) -> float:
        """Return the learning rate that loses least after a short run of the first ratio."""
        jobs = [(self.job(FIRST_RATIO, rate, steps),) for rate in LEARNING_RATES]
        losses = [
            float("inf") if found is None else found.metric_loss
            for found in self.team.ask_each(compressed, jobs)
        ]
        return LEARNING_RATES[losses.index(min(losses))]

    def ratios(self, rate: float, steps: int, run_s: float) -> dict[float, Candidate | None]:
        """Return the models that keep the budget by ratio, None for those that do not.

        Ratios are tried while the time of another pair is left; `run_s` is the first one's.
        """
        tried: dict[float, Candidate | None] = {}
        pair_s = WORKERS * run_s
        while self.team.left > pair_s:
            before_s = self.team.used
            wanted = next_ratios({r: found is not None for r, found in tried.items()}, WORKERS)
            jobs = [(self.job(ratio, rate, steps),) for ratio in wanted]
            for ratio, found in zip(
                wanted, self.team.ask_each(pruned_then_quantized, jobs), strict=True
            ):
                keeps = found is not None and found.keeps(self.team.problem.budget)
                tried[ratio] = found if keeps else None
            pair_s = self.team.used - before_s
        return tried


def deliver(problem: Problem, seed: int, seconds: float, folder: Path) -> DeliveredModel:
    with Team(problem, seed, seconds, folder) as team:
        team.ask(workshop.measure_baseline)
        sweep = Sweep(team)
        run_s = RUN_SHARE * seconds
        alone_steps = max(1, round(run_s / sweep.pace(None)))
        steps = max(1, round(run_s / (1 + QUANTIZED_COST) / sweep.pace(FIRST_RATIO)))
        rate = sweep.best_rate(max(1, round(PILOT * steps)))
        alone = sweep.job(None, QUANTIZED_SHARE * rate, alone_steps)
        automatic = replace(sweep.job(None, 0.0, alone_steps), automatic=True)
        found = team.ask_all(compressed, [(alone,), (automatic,)])
        tried = sweep.ratios(rate, steps, run_s)
        found += [model for model in tried.values() if model is not None]
        kept = [(candidate,) for candidate in found if candidate.keeps(problem.budget)]
        return DeliveredModel.of(
            min(
                team.ask_all(workshop.timed, kept),
                key=lambda candidate: candidate.latency_ratio or 1.0,
                default=None,
            ),
            team.used,
            learning_rate=rate,
            steps=(alone_steps, steps),
            ratios={ratio: model is not None for ratio, model in tried.items()},
            failures=team.failures,
        )
