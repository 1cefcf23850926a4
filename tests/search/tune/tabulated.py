"""A problem that is a table, not a training, and a searcher driven over it without Ray."""

import json

from ray.tune.search import Searcher

from spaces.plan import Plan, PruningGroup, QuantizationChoice
from spaces.space import Space
from trainables.files.codec import encode
from trainables.results import TrialResult
from trainables.trainable import PLAN, RESULT

FLOAT, PTQ = QuantizationChoice.FLOAT, QuantizationChoice.INT8_PTQ
BUDGET = 0.1
JOURNAL = "optuna.journal"
WARM_STARTS = (
    Plan.of({}, FLOAT),
    Plan.of({}, PTQ),
    Plan.of({"a": 0.5, "b": 0.5}, PTQ),
    Plan.of({"a": 0.75}, FLOAT),
)


def tabulated(plan):
    """Return the result of a plan; about half of all plans keep the budget."""
    a, b, quantized = plan.ratio("a"), plan.ratio("b"), plan.quantization is PTQ
    loss = 0.15 * a**2 + 0.1 * b + 0.02 * quantized - 0.01
    ratio = (1 - 0.6 * a) * (1 - 0.3 * b) * (0.5 if quantized else 1.0)
    return TrialResult("COMPLETE", metric=0.9 * (1 - loss), metric_loss=loss, latency_ratio=ratio)


def reported(result):
    """Return a result the way Ray hands it to the searcher."""
    return {RESULT: encode(TrialResult, result), "done": result.state != "RUNNING"}


def plan_of(suggestion):
    return Plan.from_json(json.loads(suggestion[PLAN]))


def text_of(plan):
    """Return a plan the way Optuna's trials carry it."""
    return json.dumps(plan.to_json(), sort_keys=True)


def drive(searcher, trials, evaluate=tabulated):
    """Run this many trials one after the other; return their plans."""
    plans = []
    for number in range(trials):
        trial_id = f"drive-{number}"
        suggestion = searcher.suggest(trial_id)
        if suggestion == Searcher.FINISHED:
            break
        plans.append(plan_of(suggestion))
        searcher.on_trial_complete(trial_id, reported(evaluate(plans[-1])))
    return plans


def optuna_trial(searcher, number):
    return searcher.optuna_trials[number]


def record_of(open_ledger, number):
    """Return what is on disk of a trial."""
    return open_ledger().records[number]


def one_group(channels):
    return Space((PruningGroup("a", channels),), (FLOAT,))
