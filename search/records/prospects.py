"""What the trials of a ledger promise: trained in full, within the budget with its margin and the
bounds, at little cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, floor, log10
from statistics import NormalDist

import numpy as np

from search.records.ledger import Ledger
from search.records.trial_record import TrialRecord
from spaces.goal import Quantity
from spaces.layers import Array
from spaces.pareto import front_indices
from spaces.planning.promise import promises
from trainables.results import Baseline

TOO: dict[Quantity, str] = {"latency": "too slow", "size": "too large"}
"""The verdict of a trial that exceeds the bound on a quantity."""
VERDICTS = (
    *("feasible", "predicted", "unlikely", "over budget", "too slow", "too large"),
    *("stopped", "failed"),
)
"""What becomes of a trial. `feasible` and `over budget` are measured after training in full;
`predicted` will probably keep the budget then, `unlikely` probably not."""
# Chance to keep the budget from which a plan counts as one that will. A guess.
LIKELY = 0.5


def raised(confidence_z: float, judged: int) -> float:
    """Return the margin in standard errors if several models were judged on one validation split.

    The chosen one is flattered by the choice: each is given its share of the probability that
    `confidence_z` allows a single model (Bonferroni). 0 stays 0: no margin was asked for.
    """
    if confidence_z == 0 or judged <= 1:
        return confidence_z
    normal = NormalDist()
    # Beyond z = 8 a probability is rounded to 1.
    return normal.inv_cdf(1 - max(1 - normal.cdf(confidence_z), 1e-15) / judged)


class Prospects:
    """Judges trials by what they will lose after training in full."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def margin(self, standard_error: float | None, more: int = 0) -> float:
        """Return how far below the budget a loss of full fidelity must be.

        It grows with the number of models that have been trained in full: trials, and `more`.
        """
        judged = len(self._ledger.complete()) + more
        return raised(self._ledger.confidence_z, judged) * (standard_error or 0.0)

    def kept(self, *, bounded: bool = True) -> list[TrialRecord]:
        """Return the trials of full fidelity that are within the budget with its margin, that of
        least cost first; those that exceed a bound only if not `bounded`."""
        unit, found = self.margin(1.0), []
        for record in self._ledger.complete():
            loss, error = record.result.metric_loss, record.result.standard_error
            assert loss is not None
            if loss + unit * (error or 0.0) <= self._ledger.budget:
                found.append(record)
        return self._sorted(found, bounded)

    def _sorted(self, records: Iterable[TrialRecord], bounded: bool) -> list[TrialRecord]:
        ledger = self._ledger
        kept = (r for r in records if not bounded or ledger.exceeded(r) is None)
        return sorted(kept, key=ledger.order)

    def incumbent(self) -> float:
        """Return the least cost of the trials of `kept`, 1 if there is none."""
        return min((self._ledger.cost(record) for record in self.kept()), default=1.0)

    def predicted(self, records: Sequence[TrialRecord]) -> tuple[Array, Array]:
        """Return the losses of measured trials after training in full, and their standard errors.

        Both have shape (records,). The error is 0 for a trial of full fidelity.
        """
        return self._ledger.fidelity.predict(*_measured(records))

    def chances(self, records: Sequence[TrialRecord]) -> Array:
        """Return each measured trial's chance to keep the budget with its margin after training in
        full, shape (records,)."""
        errors = np.array([record.result.standard_error or 0.0 for record in records])
        ledger = self._ledger
        return ledger.fidelity.chance(*_measured(records), self.margin(1.0) * errors, ledger.budget)

    def promises(
        self, records: Sequence[TrialRecord], incumbent: float | None = None
    ) -> list[float]:
        """Return the expected gain of each measured trial over the incumbent, in cost; or over a
        trial that costs as much as `incumbent`.

        A trial that exceeds a bound promises nothing.
        """
        cost, exceeded = self._ledger.cost, self._ledger.exceeded
        costs = np.array([np.inf if exceeded(r) is not None else cost(r) for r in records])
        least = self.incumbent() if incumbent is None else incumbent
        found: list[float] = promises(costs, self.chances(records), least).tolist()
        return found

    def likely(self, *, bounded: bool = True) -> list[TrialRecord]:
        """Return the paused trials that will probably keep the budget, that of least cost first;
        those that exceed a bound only if not `bounded`."""
        paused = self._ledger.paused()
        if not paused:
            return []
        chances = zip(paused, self.chances(paused), strict=True)
        return self._sorted((r for r, chance in chances if chance >= LIKELY), bounded)

    def predicted_front(self) -> list[TrialRecord]:
        """Return the trials of `likely` that cost less than all of `kept`, that of least cost
        first, and no more than another that will lose less."""
        incumbent, cost = self.incumbent(), self._ledger.cost
        better = [record for record in self.likely() if cost(record) < incumbent]
        if not better:
            return []
        losses, _ = self.predicted(better)
        points = np.column_stack([losses, [cost(record) for record in better]])
        return [better[index] for index in front_indices(points)]

    def verdict(self, record: TrialRecord) -> str:
        """Return one of VERDICTS."""
        state = record.result.state
        exceeded = self._ledger.exceeded(record)
        if state != "FAILED" and exceeded is not None:
            return TOO[exceeded]
        if state == "PAUSED":
            return "predicted" if self.chances([record])[0] >= LIKELY else "unlikely"
        if state != "COMPLETE":
            return state.lower()
        return "feasible" if self._ledger.is_feasible(record) else "over budget"

    def candidates(self, *, bounded: bool = True) -> list[TrialRecord]:
        """Return what may be delivered, that of least cost first: the trials of `likely` and of
        `kept`."""
        return self._sorted([*self.likely(bounded=bounded), *self.kept(bounded=bounded)], False)

    def obstacle(self, baseline: Baseline) -> str:
        """Return why there are no candidates: the bound that none keeps, and the nearest trial.

        Ends in "give", for the caller's advice to follow.
        """
        ledger, goal = self._ledger, self._ledger.goal
        within = self.candidates(bounded=False)
        slow = [r for r in ledger.records.values() if ledger.exceeded(r) == "latency"]
        if not within and not slow:
            return f"none of {len(ledger.records)} trials will lose at most {ledger.budget:g}; give"
        fast = [r for r in within if ledger.exceeded(r) != "latency"]
        if goal.max_latency is not None and not fast:
            # A trial that is too slow was stopped before its loss was known.
            nearest = min(within or slow, key=_latency)
            return (
                f"--max-latency-ms {goal.max_latency * baseline.latency_ms:g}: the fastest trial "
                f"{f'within a loss of {ledger.budget:g}' if within else 'of all'} takes "
                f"{rounded_up(_latency(nearest) * baseline.latency_ms):g} ms; give that,"
            )
        assert goal.max_size is not None
        nearest = min(fast, key=lambda r: r.result.size_bytes or 0)
        return (
            f"--max-size-bytes {round(goal.max_size * baseline.size_bytes)}: the smallest trial "
            f"within the other bounds has {nearest.result.size_bytes}; give that,"
        )


def _latency(record: TrialRecord) -> float:
    return record.result.latency_ratio or 1.0


def rounded_up(value: float) -> float:
    """Return a number above 0 with three digits, no less than it is."""
    step = 10.0 ** (floor(log10(value)) - 2)
    # The tolerance covers a value that has three digits already.
    return ceil(value / step - 1e-9) * step


def _measured(records: Sequence[TrialRecord]) -> tuple[Array, Array]:
    """Return the fidelities and the losses of measured trials."""
    return (
        np.array([record.fidelity for record in records]),
        np.array([record.result.metric_loss for record in records], float),
    )
