"""How long the parts of a run take, guessed from the unpruned model's speed."""

from __future__ import annotations

from dataclasses import dataclass

from search.config import RunConfig
from search.schedule.durations import minutes
from trainables.levels import REDUCTION, training_levels
from trainables.results import Baseline
from trainables.settings import WorkerSettings


@dataclass(frozen=True)
class Speeds:
    """Guesses for the estimate of a run's duration, from runs of the built-in task on two cores."""

    qat: float = 2.0
    """Time of a quantization-aware training step, as a multiple of a float step's."""
    qat_trials: float = 0.3
    """Share of the trials that train quantization-aware."""
    other_s: float = 3.0
    """Seconds of a level that are neither training nor evaluation."""
    final_s: float = 20.0
    """Seconds of the last timing."""
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
            baseline.evaluate_s + SPEEDS.other_s,
        )
        for level in training_levels(settings, baseline)
    )


def final_seconds(baseline: Baseline) -> float:
    """Return the seconds after the last training: the last timing and the test split."""
    return SPEEDS.final_s + 2 * baseline.evaluate_s


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
    trial_s, *later_s = (level.typical_s for level in level_seconds(config, baseline))
    counts = promotions(trials, len(later_s) + 1)
    promoted_s = sum(seconds * n for seconds, n in zip(later_s, counts, strict=True))
    return Estimate(
        trial_s=trial_s,
        search_s=trial_s * trials / min(at_once, max(1, trials)),
        promoted_s=(promoted_s + config.finalists * sum(later_s)) / at_once,
        final_s=final_seconds(baseline),
    )


def survey_seconds(config: RunConfig, baseline: Baseline, groups: int, at_once: int) -> float:
    """Return the seconds of the measurements between baseline and search, if none is cached."""
    evaluations = groups * config.sensitivity_points
    evaluate_s = baseline.evaluate_s + SPEEDS.engine_s
    shapes = SPEEDS.references + config.latency_points / at_once
    return evaluations * evaluate_s / at_once + shapes * SPEEDS.shape_s
