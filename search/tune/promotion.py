"""Which plans are trained on: asynchronous successive halving (ASHA; Li et al., MLSys 2020).

Ranked not by the loss at a level but by what the plan promises: its gain in cost times its
chance to keep the budget once it is trained in full.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from search.records.ledger import Ledger
from search.records.prospects import Prospects
from search.records.trial_record import TrialRecord
from search.schedule.deadline import Deadline
from search.schedule.forecast import Closing
from trainables.levels import REDUCTION
from trainables.results import MEASURED

# Least promise of a promotion after the last plan, as a share of the incumbent's cost: a
# final timing varies by as much (LOG: a third reference).
LEAST_GAIN = 0.01


class Promotions:
    """Chooses the next plan to train on.

    `Ledger.fidelities` are the levels. While plans are still proposed, one of REDUCTION at each
    level is promoted, so that the fidelity model learns early. After the last plan the most
    promising are promoted as long as one promises a gain, with the compute of `finalists`
    trainings in full; with a deadline, until there is no time to train one in full.
    """

    def __init__(self, ledger: Ledger, finalists: int, deadline: Deadline | None = None) -> None:
        self._ledger, self._prospects = ledger, Prospects(ledger)
        self._deadline = deadline
        # A search that is resumed has spent a part.
        spent = sum(record.closing_fidelity for record in ledger.records.values())
        self._left = finalists - spent
        """Compute for the last promotions, in trainings in full."""

    def next(self, running: Mapping[int, int], *, closing: bool) -> TrialRecord | None:
        """Return a paused trial to train for one more level, None if none should be.

        `running` are the trials that are being promoted, by number, and the level that each is
        trained for; `closing` says that the last plan has been tried.
        """
        due = range(self._top) if closing else self._due(running)
        if not due:
            return None
        paused = [
            record
            for record in self._ledger.paused()
            if record.number not in running
            and record.level in due
            and (self._deadline is None or self._deadline.allows(record))
        ]
        if not paused:
            return None
        ranked = sorted(
            zip(self._prospects.promises(paused), paused, strict=True),
            key=lambda pair: (-pair[0], pair[1].number),
        )
        if closing:
            return self._last(ranked, running)
        # The highest level first, as in ASHA; of a level the one that promises most.
        promising = [record for promise, record in ranked if promise > 0]
        return max(promising, key=lambda record: record.level, default=None)

    @property
    def _top(self) -> int:
        """The last level."""
        return len(self._ledger.fidelities) - 1

    def _due(self, running: Mapping[int, int]) -> list[int]:
        """Return the levels of which a trial should be promoted by now."""
        counts = Counter(
            max(record.level, running.get(number, 0))
            for number, record in self._ledger.records.items()
            if record.result.state in MEASURED
        )
        reached = [
            sum(counts[at] for at in counts if at >= level)
            for level in range(len(self._ledger.fidelities))
        ]
        return [
            level for level in range(self._top) if reached[level] // REDUCTION > reached[level + 1]
        ]

    def _last(
        self, ranked: Sequence[tuple[float, TrialRecord]], running: Mapping[int, int]
    ) -> TrialRecord | None:
        """Return the most promising trial that can still be paid for up to its training in full."""
        least = LEAST_GAIN * self._prospects.incumbent()
        fidelities = self._ledger.fidelities
        left = self._left - sum(1 - fidelities[level] for level in running.values())
        for promise, record in ranked:
            if promise < least:
                return None
            # The tolerance covers the rounding of sums.
            if self._deadline is not None or 1 - record.fidelity <= left + 1e-9:
                return record
        return None

    def expected(self) -> Closing:
        """Return what promotions may still take.

        The paused trial of least cost that will probably keep the budget is taken to keep it.
        """
        prospects, paused = self._prospects, self._ledger.paused()
        # The first plan, the unpruned model, tells nothing of what the others will promise.
        if not any(record.plan.is_pruned for record in self._ledger.records.values()):
            return Closing(self._left, ends_early=False)
        better, incumbent = prospects.predicted_front()[:1], prospects.incumbent()
        missing = 0.0
        for record in better:
            incumbent, missing = self._ledger.cost(record), 1 - record.fidelity
        gains = prospects.promises(paused, incumbent) if paused else []
        if max(gains, default=0.0) >= LEAST_GAIN * incumbent:
            return Closing(self._left, ends_early=False)
        return Closing(missing, ends_early=True)

    def begin(self, record: TrialRecord, *, closing: bool) -> float:
        """Note that a trial is being promoted; return the compute that it takes from the last
        promotions, in trainings in full."""
        if not closing:
            return 0.0
        fidelities, level = self._ledger.fidelities, record.level
        share = fidelities[level + 1] - fidelities[level]
        self._left -= share
        return share
