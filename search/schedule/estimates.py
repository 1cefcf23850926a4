"""How long the parts of a run take, guessed from the unpruned model's speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search.config import RunConfig
from search.schedule.durations import minutes
from trainables.levels import REDUCTION, training_levels
from trainables.results import Baseline
from trainables.settings import WorkerSettings


@dataclass(frozen=True)
class Speeds:
    """Guesses for the estimate of a run's duration, from runs of the built-in task on two cores."""

    qat: float = 1.5
    """Time of a quantization-aware training step, as a multiple of a float step's: 1.2 to 1.5 in
    processor seconds."""
    qat_trials: float = 0.3
    """Share of the trials that train quantization-aware."""
    start_s: float = 8.0
    """Seconds until the workers of a search have started; they start side by side."""
    other_s: float = 4.0
    """Seconds of a level that are neither training nor evaluation: 2.8 in processor seconds, and
    the change to the next trial."""
    evaluation: float = 0.5
    """Time of a candidate's evaluation, as a share of the unpruned model's."""
    between_s: float = 1.0
    """Seconds between the levels of a worker."""
    final_s: float = 20.0
    """Most seconds of the last timing."""
    final_runs: int = 240
    """Runs of the unpruned model that take as long as the last timing of both."""
    worker_s: float = 4.0
    """Seconds until a new worker has imported all that it needs."""
    engine_s: float = 0.2
    """Seconds to load an engine."""
    shape_s: float = 1.7
    """Seconds to export and time an untrained plan: LeNet took 5 s for three."""
    references: int = 8
    """Reference models that are timed: LeNet took 10 s for all."""


SPEEDS = Speeds()


@dataclass(frozen=True)
class LevelSeconds:
    """Seconds of one plan's level. Every plan has the same compute, so they hold for all."""

    float_s: float
    quantized_s: float
    """Of quantization-aware training, for the plans that have it."""
    other_s: float
    """All that is not training."""

    def training_s(self, quantized_share: float) -> float:
        """Return the seconds of training; the share is that of the plans that are trained
        quantization-aware, 0 or 1 for one plan."""
        return self.float_s + quantized_share * self.quantized_s

    @property
    def typical_s(self) -> float:
        """All seconds, of the mean plan."""
        return self.training_s(SPEEDS.qat_trials) + self.other_s


def level_seconds(settings: WorkerSettings, baseline: Baseline) -> tuple[LevelSeconds, ...]:
    """Return what each level of training takes."""
    return tuple(
        LevelSeconds(
            level.samples * baseline.train_s,
            SPEEDS.qat * level.quantized_samples * baseline.train_s,
            SPEEDS.evaluation * baseline.evaluate_s + SPEEDS.other_s,
        )
        for level in training_levels(settings, baseline)
    )


def final_seconds(settings: WorkerSettings, baseline: Baseline) -> float:
    """Return the seconds after the last training: the last timing and the test split."""
    timing_s = min(
        SPEEDS.final_s * settings.latency_effort, SPEEDS.final_runs * baseline.latency_ms / 1000
    )
    return SPEEDS.worker_s + timing_s + 2 * baseline.evaluate_s


@dataclass(frozen=True)
class Estimate:
    """How long a search will take, in seconds."""

    trial_s: float
    """One plan, up to its first measurement."""
    search_s: float
    """All plans."""
    promoted_s: float
    """Training the promising plans on."""
    final_s: float
    """The last timing and the test split."""

    @property
    def total_s(self) -> float:
        return self.search_s + self.promoted_s + self.final_s

    def in_words(self, trials: int, at_once: int) -> str:
        return (
            f"about {minutes(self.total_s)}: {trials} plans of {self.trial_s:.0f} s, {at_once} at "
            f"a time, and {minutes(self.promoted_s)} to train the promising ones on"
        )


def closing_seconds(
    counts: Sequence[int], fidelities: Sequence[float], seconds: Sequence[float], finalists: int
) -> float:
    """Return the seconds of the last promotions, one after the other.

    `counts` is how many trials have been trained to each level. Those that were promoted furthest
    are taken to be the most promising; each is trained in full, with the compute of `finalists`
    trainings.
    """
    total_s, left = 0.0, float(finalists)
    reached = [*counts, 0]
    for level in range(len(counts) - 2, -1, -1):
        cost = 1 - fidelities[level]
        # The tolerance covers the rounding of sums.
        number = min(reached[level] - reached[level + 1], int(left / cost + 1e-9))
        left -= number * cost
        total_s += number * sum(seconds[level + 1 :])
    return total_s


def promotions(trials: int, levels: int) -> list[int]:
    """Return how many of the trials are promoted to each level above 0 before the last plan: one of
    REDUCTION at the level below."""
    found, reached = [], trials
    for _ in range(levels - 1):
        reached //= REDUCTION
        found.append(reached)
    return found


def estimate(config: RunConfig, baseline: Baseline, trials: int, at_once: int) -> Estimate:
    """Return how long `trials` take, `at_once` at a time, with their promotions.

    It follows from the unpruned model's speed: every plan has the same compute.
    """
    seconds = [level.typical_s for level in level_seconds(config, baseline)]
    fidelities = [level.fidelity for level in training_levels(config, baseline)]
    counts = [trials, *promotions(trials, len(seconds))]
    promoted_s = sum(s * n for s, n in zip(seconds[1:], counts[1:], strict=True))
    promoted_s += closing_seconds(counts, fidelities, seconds, config.finalists)
    # On the mean the last worker ends half a level later than the others.
    tail_s = seconds[-1] / 2 * (1 - 1 / at_once) if promoted_s else 0.0
    return Estimate(
        trial_s=seconds[0],
        search_s=seconds[0] * trials / min(at_once, max(1, trials)) + SPEEDS.start_s,
        promoted_s=promoted_s / at_once + tail_s,
        final_s=final_seconds(config, baseline),
    )


def survey_seconds(config: RunConfig, baseline: Baseline, groups: int, at_once: int) -> float:
    """Return the seconds of the measurements between baseline and search, if none is cached."""
    evaluations = groups * config.sensitivity_points
    evaluate_s = baseline.evaluate_s + SPEEDS.engine_s
    shapes = SPEEDS.references + config.latency_points / at_once
    return evaluations * evaluate_s / at_once + shapes * SPEEDS.shape_s
