"""Fixtures of the driver's tests: made-up trials, and ledgers that keep them on disk."""

from dataclasses import fields
from datetime import datetime, timezone

import pytest

from search.records.ledger import Ledger
from search.records.tables import Store
from search.records.trial_record import TrialRecord
from search.tune.plan_source import Sources
from search.tune.searcher import Limits, PlanSearcher
from spaces.plan import Plan, PruningGroup, QuantizationChoice
from spaces.space import Space
from tests.search.tune.tabulated import BUDGET, JOURNAL
from trainables.results import Measurement, TrialResult


@pytest.fixture
def space():
    """2 x 4 x 8 plans."""
    groups = (PruningGroup("a", 64), PruningGroup("b", 32))
    return Space(groups, (QuantizationChoice.FLOAT, QuantizationChoice.INT8_PTQ))


@pytest.fixture
def measurement():
    """Make a measurement of a metric loss."""

    def make(loss, stage="quantize", rung=0, fidelity=1.0):
        return Measurement(stage, rung, fidelity, 0.9 * (1 - loss), loss, 0.01, 1.5)

    return make


@pytest.fixture
def result():
    """Make the result of a trial; it ran all stages if it is COMPLETE."""

    def make(state, loss=None, ratio=None, measurements=(), **more):
        metric = None if loss is None else 0.9 * (1 - loss)
        return TrialResult(
            state,
            metric=metric,
            metric_loss=loss,
            latency_ratio=ratio,
            measurements=list(measurements),
            **more,
        )

    return make


@pytest.fixture
def record():
    """Make the record of a trial, of a plan that no other number has."""

    def make(number, result, plan=None, origin="sampled"):
        own = Plan.of({"a": (number + 1) / 1000}, QuantizationChoice.FLOAT)
        started = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=timezone.utc)
        return TrialRecord(number, plan or own, origin, result, started, 12.5)

    return make


@pytest.fixture
def open_ledger(tmp_path, space):
    """Open the ledger that a folder holds; by default always the same folder."""

    def make(budget=0.1, folder=tmp_path, **more):
        store = Store(folder)
        store.create()
        return Ledger.load(store, budget, space.groups, **more)

    return make


@pytest.fixture
def open_searcher(tmp_path, space, open_ledger):
    """Open the searcher of a folder, as a driver does that starts or carries on."""

    def make(
        seed=0,
        warm_starts=(),
        budget=BUDGET,
        folder=tmp_path,
        space=space,
        fidelities=(1.0,),
        **more,
    ):
        folder.mkdir(exist_ok=True)
        ledger = open_ledger(budget, folder, fidelities=fidelities)
        sources = Sources(space, first=warm_starts)
        limits = Limits(**{f.name: more.pop(f.name) for f in fields(Limits) if f.name in more})
        return PlanSearcher(sources, ledger, folder / JOURNAL, seed, limits=limits, **more)

    return make
