"""A deadline for the whole run: nothing begins that would end after it.

The seconds of what would begin are predicted from the unpruned model's speed, and corrected by the
levels that this run has finished, so a busy machine begins less.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from search.context import StudyContext
from search.needs import trials_at_once
from search.records.ledger import Ledger
from search.records.trial_record import TrialRecord
from search.schedule.estimates import (
    SPEEDS,
    LevelSeconds,
    begins_untrained,
    final_seconds,
    level_seconds,
)
from trainables.results import MEASURED, Baseline


class Pace:
    """Predicts the seconds of levels."""

    def __init__(self, levels: Sequence[LevelSeconds], ledger: Ledger) -> None:
        """`levels` are the seconds guessed before any plan is trained."""
        self._levels, self._ledger = levels, ledger
        self._learned_of = -1
        self._factor, self._other_s = 1.0, levels[0].other_s

    def seconds(self, first: int, last: int, quantized_share: float = SPEEDS.qat_trials) -> float:
        """Return the seconds of one plan from level `first` to `last`, both included.

        The share is 1 for a plan that is trained quantization-aware, 0 for another; by default
        the mean plan's.
        """
        self._learn()
        levels = self._levels[first : last + 1]
        training_s = sum(level.training_s(quantized_share) for level in levels)
        return self._factor * training_s + len(levels) * self._other_s

    def other_s(self) -> float:
        """Return the seconds of a level that are not training: all of a plan that needs none."""
        self._learn()
        return self._other_s

    def _learn(self) -> None:
        """Compare the guess with the trials that have finished since."""
        if self._learned_of == self._ledger.writes:
            return
        self._learned_of = self._ledger.writes
        spent_s = guessed_s = 0.0
        others = []
        for record in self._ledger.records.values():
            result = record.result
            if result.state not in MEASURED or not record.plan.is_pruned:
                continue
            training_s = result.seconds.get("finetune", 0.0)
            quantized = float(record.plan.quantization.is_trained)
            done = self._levels[: record.level + 1]
            guessed_s += sum(level.training_s(quantized) for level in done)
            spent_s += training_s
            # The trial's own seconds: its wall time may include the start of a worker.
            others.append((sum(result.seconds.values()) - training_s) / len(done))
        if others:
            self._other_s = median(others) + SPEEDS.between_s
        if guessed_s > 0 and spent_s > 0:
            self._factor = spent_s / guessed_s


class Deadline:
    """Decides what may still begin."""

    def __init__(
        self,
        left_s: Callable[[], float],
        pace: Pace,
        levels: int,
        *,
        end_s: float,
        finalists: int,
        at_once: int,
        begins_untrained: bool = False,
    ) -> None:
        """`left_s` returns the seconds to the deadline, `levels` is the number of levels. The time
        for the end of the run (`end_s`), and before it for training `finalists` plans in full, is
        left free by new plans; by the first one too, unless it needs no training."""
        self._left_s, self._pace, self._last = left_s, pace, levels - 1
        self._end_s, self._finalists, self._at_once = end_s, finalists, at_once
        self._begins_untrained = begins_untrained

    def spare_s(self) -> float:
        """Return the seconds before the end of the run has to begin; below 0 if that is late."""
        return self._left_s() - self._end_s

    def is_closing(self) -> bool:
        """Return whether the time for the last promotions has come."""
        later_s = self._pace.seconds(1, self._last) if self._last else 0.0
        # The plans that run now end meanwhile, and promotions run side by side.
        reserved_s = max(later_s, self._finalists * later_s / self._at_once)
        return self.spare_s() < self._pace.seconds(0, 0) + reserved_s

    def allows_plan(self, tried: int) -> bool:
        """Return whether a new plan may begin beside those `tried`.

        Before the last promotions it is one; later one that can still be trained in full, where
        nothing else is left to do.
        """
        if tried == 0 and self._begins_untrained:
            return self.spare_s() >= self._pace.other_s()
        return not self.is_closing() or self.spare_s() >= self._pace.seconds(0, self._last)

    def allows(self, record: TrialRecord) -> bool:
        """Return whether a paused trial can still be trained in full."""
        return self.spare_s() >= self.seconds_left(record)

    def seconds_left(self, record: TrialRecord) -> float:
        """Return the predicted seconds until a paused trial is trained in full."""
        quantized = float(record.plan.quantization.is_trained)
        return self._pace.seconds(record.level + 1, self._last, quantized)


def deadline_of(study: StudyContext, baseline: Baseline, ledger: Ledger) -> Deadline | None:
    """Return the deadline of a study, None if it has none."""
    config, clock = study.config, study.clock
    within_s = config.within
    if within_s is None:
        return None
    levels = level_seconds(config, baseline)
    return Deadline(
        lambda: within_s - clock.elapsed_s(),
        Pace(levels, ledger),
        len(levels),
        end_s=final_seconds(config, baseline),
        finalists=config.finalists,
        at_once=trials_at_once(config, study.cluster.now()),
        begins_untrained=begins_untrained(config, baseline),
    )
