"""The searcher on a tabulated problem: a pure function from a plan to its figures, no Ray."""

import json

import pytest
from optuna.trial import TrialState
from ray.tune.search import Searcher

from search.tune.journal import CONSTRAINT
from search.tune.journal_file import REPEATS, open_study
from search.tune.plan_source import PATIENCE
from spaces.plan import Plan, PruningGroup
from spaces.space import Space
from tests.search.tune.tabulated import (
    BUDGET,
    FLOAT,
    JOURNAL,
    PTQ,
    WARM_STARTS,
    drive,
    one_group,
    optuna_trial,
    plan_of,
    record_of,
    reported,
    tabulated,
    text_of,
)
from trainables.results import TrialResult
from trainables.trainable import NUMBER


def test_a_suggestion_is_a_number_and_a_plan_of_the_space(open_searcher, space):
    searcher = open_searcher()
    for trial_id in range(10):
        suggestion = searcher.suggest(str(trial_id))
        plan = plan_of(suggestion)
        assert space.snap(plan) == plan
        # What the row is found by after a crash.
        assert optuna_trial(searcher, suggestion[NUMBER]).user_attrs["plan"] == text_of(plan)


def test_the_same_seed_gives_the_same_plans(open_searcher, tmp_path):
    one = drive(open_searcher(seed=3, folder=tmp_path / "one"), 25)
    again = drive(open_searcher(seed=3, folder=tmp_path / "again"), 25)
    other = drive(open_searcher(seed=4, folder=tmp_path / "other"), 25)
    assert one == again
    assert one != other


def test_warm_starts_come_first_and_in_order(open_searcher, open_ledger):
    plans = drive(open_searcher(warm_starts=WARM_STARTS), 8)
    assert tuple(plans[:4]) == WARM_STARTS
    origins = [open_ledger().records[number].origin for number in range(8)]
    assert origins == ["warm_start"] * 4 + ["sampled"] * 4


def test_no_plan_is_suggested_twice(open_searcher):
    searcher = open_searcher(warm_starts=WARM_STARTS)
    plans = drive(searcher, 45)
    assert len(plans) == 45
    assert len(set(plans)) == 45


def test_plans_that_run_at_the_same_time_differ(open_searcher):
    searcher = open_searcher(space=one_group(32))
    plans = [plan_of(searcher.suggest(str(number))) for number in range(4)]
    assert len(set(plans)) == 4


def test_optuna_knows_how_far_each_trial_is_from_the_budget(open_searcher, tmp_path):
    searcher = open_searcher(warm_starts=WARM_STARTS)
    plans = drive(searcher, 12)
    # From the journal, for that is what a resumed search learns from.
    trials = open_study(tmp_path / JOURNAL, {}, 0).get_trials(states=(TrialState.COMPLETE,))
    told = {Plan.from_json(json.loads(trial.user_attrs["plan"])): trial for trial in trials}
    assert set(told) == set(plans)
    for plan in plans:
        expected = tabulated(plan)
        trial = told[plan]
        assert trial.values == [expected.metric_loss, expected.latency_ratio]
        assert trial.constraints == {CONSTRAINT: expected.metric_loss - BUDGET}
    violated = [trial.constraints[CONSTRAINT] > 0 for trial in trials]
    assert any(violated)
    assert not all(violated)


def test_the_constraints_steer_the_search(open_searcher, tmp_path):
    """With a budget that all plans keep, the sampler takes another way once it has
    learnt from its first, random trials."""
    tight = drive(open_searcher(budget=BUDGET, folder=tmp_path / "tight"), 30)
    loose = drive(open_searcher(budget=9.0, folder=tmp_path / "loose"), 30)
    assert tight[:8] == loose[:8]
    assert tight != loose


def test_a_trial_of_full_fidelity_is_complete(open_searcher, open_ledger):
    searcher = open_searcher()
    (plan,) = drive(searcher, 1)
    assert optuna_trial(searcher, 0).state == TrialState.COMPLETE
    recorded = record_of(open_ledger, 0)
    assert recorded.plan == plan
    assert recorded.result == tabulated(plan)
    assert recorded.wall_s >= 0


def test_a_trial_that_was_stopped_is_pruned(open_searcher, open_ledger, result):
    searcher = open_searcher()
    searcher.suggest("x")
    # The scheduler notes the reason before Ray ends the trial.
    searcher.explain("x", "hopeless")
    searcher.on_trial_complete("x", reported(result("RUNNING", None, 1.5)))

    assert optuna_trial(searcher, 0).state == TrialState.PRUNED
    recorded = record_of(open_ledger, 0).result
    assert (recorded.state, recorded.reason, recorded.metric_loss) == ("STOPPED", "hopeless", None)


def test_a_trial_that_was_stopped_before_any_rung_is_pruned(open_searcher, open_ledger, result):
    searcher = open_searcher()
    searcher.suggest("x")
    searcher.on_trial_complete("x", reported(result("RUNNING", ratio=1.5)))
    trial = optuna_trial(searcher, 0)
    assert trial.state == TrialState.PRUNED
    assert trial.constraints == {}
    recorded = record_of(open_ledger, 0).result
    assert (recorded.state, recorded.metric_loss, recorded.latency_ratio) == ("STOPPED", None, 1.5)
    assert recorded.reason


def test_a_trial_that_failed_is_a_failure(open_searcher, open_ledger, result):
    searcher = open_searcher()
    searcher.suggest("x")
    searcher.on_trial_complete("x", reported(result("FAILED", reason="diverged")))
    assert optuna_trial(searcher, 0).state == TrialState.FAIL
    recorded = record_of(open_ledger, 0).result
    assert (recorded.state, recorded.reason) == ("FAILED", "diverged")


def test_a_trial_whose_worker_died_is_a_failure_with_its_reason(open_searcher, open_ledger):
    """Ray says first that there was an error, then which."""
    searcher = open_searcher()
    searcher.suggest("x")
    searcher.on_trial_complete("x", error=True)
    assert open_ledger().records == {}
    searcher.record_failure("x", "the worker died")
    assert optuna_trial(searcher, 0).state == TrialState.FAIL
    recorded = record_of(open_ledger, 0).result
    assert (recorded.state, recorded.reason) == ("FAILED", "the worker died")
    # Whatever else Ray says of this trial is too late.
    searcher.record_failure("x", "again")
    searcher.on_trial_complete("x", None)
    assert open_ledger().records[0].result.reason == "the worker died"


@pytest.mark.parametrize("last", [None, {}, {"done": True}])
def test_a_trial_without_a_result_is_a_failure(open_searcher, open_ledger, last):
    searcher = open_searcher()
    searcher.suggest("x")
    searcher.on_trial_complete("x", last)
    assert optuna_trial(searcher, 0).state == TrialState.FAIL
    assert record_of(open_ledger, 0).result.state == "FAILED"


def test_a_failed_plan_is_not_tried_again(open_searcher):
    searcher = open_searcher(space=one_group(32))
    plans = drive(searcher, 10, lambda plan: TrialResult("FAILED", reason="diverged"))
    assert len(plans) == len(set(plans)) == 4
    assert {trial.state for trial in searcher.optuna_trials} == {TrialState.FAIL}


def test_a_plan_seen_before_is_answered_from_the_ledger(open_searcher, open_ledger):
    """The space has 8 plans, so the sampler comes back to some."""
    searcher = open_searcher(space=one_group(64))
    plans = drive(searcher, 8)
    assert len(set(plans)) == 8
    repeats = [trial for trial in searcher.optuna_trials if REPEATS in trial.user_attrs]
    assert len(repeats) == searcher.repeats > 0
    assert len(searcher.optuna_trials) == 8 + searcher.repeats
    assert len(open_ledger().records) == 8
    for trial in repeats:
        first = optuna_trial(searcher, trial.user_attrs[REPEATS])
        assert REPEATS not in first.user_attrs
        assert trial.params == first.params
        assert trial.state == TrialState.COMPLETE
        assert trial.values == first.values
        assert trial.constraints == first.constraints


def test_a_space_with_no_plan_left_is_finished(open_searcher, open_ledger):
    searcher = open_searcher(space=one_group(32))
    plans = drive(searcher, 10)
    assert {plan.ratio("a") for plan in plans} == {0.0, 0.25, 0.5, 0.75}
    assert len(plans) == 4
    assert searcher.suggest("one more") == Searcher.FINISHED
    assert len(open_ledger().records) == 4


def test_a_sampler_that_is_stuck_does_not_end_the_search(open_searcher, monkeypatch):
    """Plans are drawn at random once it has repeated itself long enough."""
    searcher = open_searcher(space=one_group(32))
    always = {"channels/a": 16, "quantization": "float"}
    monkeypatch.setattr(searcher._journal.study.sampler, "draw", lambda study: dict(always))
    plans = drive(searcher, 4)
    assert plans[0].ratio("a") == 0.5
    assert {plan.ratio("a") for plan in plans} == {0.0, 0.25, 0.5, 0.75}
    assert searcher.repeats >= PATIENCE


def test_optunas_trials_have_the_parameters_of_their_plans(open_searcher, tmp_path):
    """Also where what was drawn lies inside a removed branch; in the file, and made again."""
    groups = (
        PruningGroup("b", 1, is_branch=True),
        PruningGroup("a", 64, inside=("b",)),
        PruningGroup("trunk", 64),
    )
    space = Space(groups, (FLOAT, PTQ))
    plans = drive(open_searcher(space=space), 30)
    assert len(set(plans)) == 30
    assert all(space.snap(plan) == plan for plan in plans)
    removed = [plan for plan in plans if plan.ratio("b") == 1.0]
    assert 5 < len(removed) < 25
    assert not any(plan.ratio("a") for plan in removed)
    for damaged in (False, True):
        if damaged:
            (tmp_path / JOURNAL).write_text("{\n")
        resumed = open_searcher(space=space)
        assert resumed.rebuilt is damaged
        found = set()
        # Made again, the trials that repeat another are failures without a plan.
        for trial in (t for t in resumed.optuna_trials if "plan" in t.user_attrs):
            plan = Plan.from_json(json.loads(trial.user_attrs["plan"]))
            assert trial.params == space.encode(plan)
            found.add(plan)
        assert found == set(plans)


def test_a_plan_that_runs_is_not_suggested_but_can_still_end(open_searcher, open_ledger):
    searcher = open_searcher(space=one_group(8))
    plan = plan_of(searcher.suggest("x"))
    # What the running trial becomes decides whether more follows.
    assert searcher.suggest("y") is None
    searcher.on_trial_complete("x", reported(tabulated(plan)))
    assert searcher.suggest("y") == Searcher.FINISHED
    assert list(open_ledger().records) == [0]
    assert optuna_trial(searcher, 0).state == TrialState.COMPLETE
    # What was asked in vain is closed, or a resumed search would take it for a crash.
    states = {trial.state for trial in searcher.optuna_trials[1:]}
    assert states == {TrialState.FAIL}


def test_the_row_is_on_disk_before_optuna_is_told(open_searcher, open_ledger, monkeypatch):
    searcher = open_searcher()
    tell, checked = searcher._journal.study.tell, []

    def watched(trial, *arguments, **keywords):
        assert trial.number in open_ledger().records
        checked.append(trial.number)
        return tell(trial, *arguments, **keywords)

    monkeypatch.setattr(searcher._journal.study, "tell", watched)
    drive(searcher, 3)
    assert checked == [0, 1, 2]
