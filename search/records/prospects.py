"""What the trials of a ledger promise: trained in full, within the budget with its margin, fast."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from search.records.ledger import Ledger, is_feasible, latency_of
from search.records.trial_record import TrialRecord
from spaces.layers import Array
from spaces.pareto import front_indices
from spaces.planning.promise import promises

VERDICTS = ("feasible", "predicted", "unlikely", "over budget", "stopped", "failed")
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

    def kept(self) -> list[TrialRecord]:
        """Return the trials of full fidelity that are within the budget with its margin, the
        fastest first."""
        unit, found = self.margin(1.0), []
        for record in self._ledger.complete():
            loss, error = record.result.metric_loss, record.result.standard_error
            assert loss is not None
            if loss + unit * (error or 0.0) <= self._ledger.budget:
                found.append(record)
        return sorted(found, key=latency_of)

    def incumbent(self) -> float:
        """Return the latency ratio of the fastest trial of `kept`, 1 if there is none."""
        return min((latency_of(record) for record in self.kept()), default=1.0)

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

    def promises(self, records: Sequence[TrialRecord]) -> list[float]:
        """Return the expected gain of each measured trial over the incumbent, in latency ratio."""
        latencies = np.array([latency_of(record) for record in records])
        found: list[float] = promises(latencies, self.chances(records), self.incumbent()).tolist()
        return found

    def likely(self) -> list[TrialRecord]:
        """Return the paused trials that will probably keep the budget, the fastest first."""
        paused = self._ledger.paused()
        if not paused:
            return []
        chances = zip(paused, self.chances(paused), strict=True)
        return sorted((r for r, chance in chances if chance >= LIKELY), key=latency_of)

    def predicted_front(self) -> list[TrialRecord]:
        """Return the trials of `likely` that are faster than all of `kept`, the fastest first, and
        no slower than another that will lose less."""
        incumbent = self.incumbent()
        faster = [record for record in self.likely() if latency_of(record) < incumbent]
        if not faster:
            return []
        losses, _ = self.predicted(faster)
        points = np.column_stack([losses, [latency_of(record) for record in faster]])
        return [faster[index] for index in front_indices(points)]

    def verdict(self, record: TrialRecord) -> str:
        """Return one of VERDICTS."""
        state = record.result.state
        if state == "PAUSED":
            return "predicted" if self.chances([record])[0] >= LIKELY else "unlikely"
        if state != "COMPLETE":
            return state.lower()
        feasible = is_feasible(record.result, self._ledger.budget)
        return "feasible" if feasible else "over budget"

    def candidates(self) -> list[TrialRecord]:
        """Return what may be delivered, the fastest first: the trials of `likely` and of `kept`."""
        return sorted([*self.likely(), *self.kept()], key=latency_of)


def _measured(records: Sequence[TrialRecord]) -> tuple[Array, Array]:
    """Return the fidelities and the losses of measured trials."""
    return (
        np.array([record.result.fidelity for record in records]),
        np.array([record.result.metric_loss for record in records], float),
    )
