"""What the two drawings of a run's findings share: colours, points and scales.

search/reporting/figures.py draws them for the page, search/reporting/pictures.py as PNG files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from search.records.ledger import REFERENCE_RATIO
from search.reporting.findings import Findings, TrialPoint

# Of Okabe and Ito, 2008: told apart by those who do not see all colours.
COLOURS = {
    "float": "#000000",
    "bfloat16": "#E69F00",
    "int8_ptq": "#0072B2",
    "int8_qat": "#009E73",
    "int8_qat_pact": "#CC79A7",
}
RUNS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
BUDGET_COLOUR = "#D55E00"
# Of what is neither a precision nor a run: stages of a study, lines over time.
SEQUENCE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
BEFORE, AFTER = "#999999", "#0072B2"
FADED = 0.25
# Multiple of the budget above which a loss is cut off: it would press all others together. A guess.
SHOWN_BUDGETS = 4.0


def shown_losses(losses: Sequence[float], budget: float) -> tuple[float, float]:
    """Return the losses between which a front is shown, in percent."""
    top = max(SHOWN_BUDGETS * budget, 0.02)
    inside = [loss for loss in losses if loss <= top]
    low, high = min([0.0, *inside]), max([budget, *inside])
    room = 0.08 * (high - low)
    return 100 * (low - room), 100 * (high + room)


def front_losses(findings: Findings, trials: Sequence[TrialPoint]) -> list[float]:
    """Return all losses that a front has points of."""
    return [
        *(trial.metric_loss for trial in trials),
        *(plan.metric_loss for plan in findings.retrained()),
    ]


def by_precision(trials: Sequence[TrialPoint]) -> dict[str, list[TrialPoint]]:
    """Return trials by their precision, in order of appearance."""
    found: dict[str, list[TrialPoint]] = {}
    for trial in trials:
        found.setdefault(trial.precision, []).append(trial)
    return found


def pareto_front(trials: Sequence[TrialPoint]) -> list[TrialPoint]:
    """Return the trials of the front, the fastest first."""
    return sorted((t for t in trials if t.on_front), key=lambda trial: trial.latency_ratio)


def worst_shown(findings: Findings) -> float:
    """Return the loss in percent from which on the map of sensitivities has one colour."""
    return 100 * max(2 * findings.budget, 0.02)


def dominated_share(findings: Findings, hypervolume: float) -> float:
    """Return a hypervolume in percent of the largest possible one, all that is below the budget."""
    box = findings.budget * REFERENCE_RATIO
    return hypervolume * (100 / box if box > 0 else 0.0)


def time_spent(findings: Findings) -> list[tuple[str, Mapping[str, float]]]:
    """Return the seconds of the study's stages and of all trials', the upper bar last."""
    return [("study", findings.stage_seconds), ("all trials", findings.trial_seconds())]
