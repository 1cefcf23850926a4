"""The searcher on a tabulated problem: a pure function from a plan to its figures, no Ray."""

import json
import random
import time
from itertools import count

import pytest
from optuna.samplers import PartialFixedSampler
from optuna.trial import TrialState
from ray.tune.search import Searcher

from search.searcher import CONSTRAINT, ORIGIN, PATIENCE, REPEATS, PlanSearcher, open_study
from spaces.plan import Plan, PruningGroup, QuantizationChoice
from spaces.space import Space
from trainables.task import TrialResult
from trainables.trainable import NUMBER, PLAN, RESULT

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
    return {RESULT: json.dumps(result.to_json()), "done": result.state != "RUNNING"}


def plan_of(suggestion):
    return Plan.from_json(json.loads(suggestion[PLAN]))


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


@pytest.fixture
def open_searcher(tmp_path, space, open_ledger):
    """Open the searcher of a folder, as a driver does that starts or carries on."""

    def make(seed=0, warm_starts=(), budget=BUDGET, folder=tmp_path, space=space, reasons=None):
        folder.mkdir(exist_ok=True)
        ledger = open_ledger(budget, folder)
        return PlanSearcher(space, ledger, folder / JOURNAL, seed, warm_starts, reasons)

    return make


def one_group(channels):
    return Space((PruningGroup("a", channels),), (FLOAT,))


def test_a_suggestion_is_a_number_and_a_plan_of_the_space(open_searcher, space):
    searcher = open_searcher()
    for trial_id in range(10):
        suggestion = searcher.suggest(str(trial_id))
        plan = plan_of(suggestion)
        assert space.snap(plan) == plan
        # What the row is found by after a crash.
        assert optuna_trial(searcher, suggestion[NUMBER]).user_attrs["plan"] == plan.key


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
    trials = open_study(tmp_path / JOURNAL, 0).get_trials(states=(TrialState.COMPLETE,))
    told = {trial.user_attrs["plan"]: trial for trial in trials}
    assert set(told) == {plan.key for plan in plans}
    for plan in plans:
        expected = tabulated(plan)
        trial = told[plan.key]
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


def test_a_trial_that_was_stopped_is_pruned(open_searcher, open_ledger, result, measurement):
    reasons = {}
    searcher = open_searcher(reasons=reasons)
    searcher.suggest("x")
    # The scheduler notes the reason before Ray ends the trial.
    reasons["x"] = "hopeless"
    rungs = [measurement(0.5), measurement(0.3)]
    searcher.on_trial_complete("x", reported(result("RUNNING", None, 0.5, rungs)))

    trial = optuna_trial(searcher, 0)
    assert trial.state == TrialState.PRUNED
    assert trial.constraints == {CONSTRAINT: pytest.approx(0.3 - BUDGET)}
    recorded = record_of(open_ledger, 0).result
    assert (recorded.state, recorded.reason, recorded.metric_loss) == ("STOPPED", "hopeless", 0.3)
    assert recorded.metric == rungs[-1].metric
    assert recorded.measurements == rungs


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


def test_a_sampler_that_is_stuck_does_not_end_the_search(open_searcher):
    """Plans are drawn at random once it has repeated itself long enough."""
    searcher = open_searcher(space=one_group(32))
    always = {"channels/a": 16, "quantization": "float"}
    searcher._study.sampler = PartialFixedSampler(always, searcher._study.sampler)
    plans = drive(searcher, 4)
    assert plans[0].ratio("a") == 0.5
    assert {plan.ratio("a") for plan in plans} == {0.0, 0.25, 0.5, 0.75}
    assert searcher.repeats >= PATIENCE


def test_a_plan_that_runs_is_not_suggested_but_can_still_end(open_searcher, open_ledger):
    searcher = open_searcher(space=one_group(8))
    plan = plan_of(searcher.suggest("x"))
    assert searcher.suggest("y") == Searcher.FINISHED
    searcher.on_trial_complete("x", reported(tabulated(plan)))
    assert list(open_ledger().records) == [0]
    assert optuna_trial(searcher, 0).state == TrialState.COMPLETE
    # What was asked in vain is closed, or a resumed search would take it for a crash.
    states = {trial.state for trial in searcher.optuna_trials[1:]}
    assert states == {TrialState.FAIL}


def test_the_row_is_on_disk_before_optuna_is_told(open_searcher, open_ledger, monkeypatch):
    searcher = open_searcher()
    tell, checked = searcher._study.tell, []

    def watched(trial, *arguments, **keywords):
        assert trial.number in open_ledger().records
        checked.append(trial.number)
        return tell(trial, *arguments, **keywords)

    monkeypatch.setattr(searcher._study, "tell", watched)
    drive(searcher, 3)
    assert checked == [0, 1, 2]


class KilledError(Exception):
    """Stands for the driver's death: nothing after it happens."""


def killed(*arguments, **keywords):
    raise KilledError


def test_a_trial_with_a_row_is_told_after_a_crash(open_searcher, open_ledger, monkeypatch):
    searcher = open_searcher(warm_starts=WARM_STARTS)
    monkeypatch.setattr(searcher._study, "tell", killed)
    with pytest.raises(KilledError):
        drive(searcher, 1)
    assert optuna_trial(searcher, 0).state == TrialState.RUNNING

    resumed = open_searcher(warm_starts=WARM_STARTS)
    trial, expected = optuna_trial(resumed, 0), tabulated(WARM_STARTS[0])
    assert trial.state == TrialState.COMPLETE
    assert trial.values == [expected.metric_loss, expected.latency_ratio]
    assert trial.constraints == {CONSTRAINT: expected.metric_loss - BUDGET}
    assert list(open_ledger().records) == [0]
    assert tuple(drive(resumed, 3)) == WARM_STARTS[1:]


@pytest.mark.parametrize(("state", "told"), [("STOPPED", "PRUNED"), ("FAILED", "FAIL")])
def test_a_stopped_or_failed_row_is_told_as_such_after_a_crash(
    open_searcher, result, monkeypatch, state, told
):
    searcher = open_searcher()
    monkeypatch.setattr(searcher._study, "tell", killed)
    with pytest.raises(KilledError):
        drive(searcher, 1, lambda plan: result(state, reason="why"))
    assert optuna_trial(open_searcher(), 0).state.name == told


def test_a_trial_without_a_row_is_asked_for_again_after_a_crash(open_searcher, open_ledger):
    searcher = open_searcher(warm_starts=WARM_STARTS)
    drive(searcher, 6)
    lost = searcher.suggest("lost")

    resumed = open_searcher(warm_starts=WARM_STARTS)
    assert optuna_trial(resumed, lost[NUMBER]).state == TrialState.FAIL
    again = resumed.suggest("again")
    assert again[PLAN] == lost[PLAN]
    assert again[NUMBER] != lost[NUMBER]
    resumed.on_trial_complete("again", reported(tabulated(plan_of(again))))
    assert open_ledger().records[again[NUMBER]].origin == "sampled"
    assert lost[NUMBER] not in open_ledger().records


def test_warm_starts_stay_warm_starts_after_a_crash(open_searcher, open_ledger):
    searcher = open_searcher(warm_starts=WARM_STARTS)
    drive(searcher, 1)
    searcher.suggest("lost")
    resumed = open_searcher(warm_starts=WARM_STARTS)
    plans = drive(resumed, 6)
    assert set(plans[:3]) == set(WARM_STARTS[1:])
    origins = [record.origin for _, record in sorted(open_ledger().records.items())]
    assert sorted(origins) == ["sampled"] * 3 + ["warm_start"] * 4


def test_a_search_carried_on_goes_other_ways_than_it_has_been(open_searcher):
    """A sampler of the same seed would draw the same random plans again."""
    # So many plans that none comes twice by chance.
    wide = Space(tuple(PruningGroup(name, 64) for name in "abcd"), (FLOAT, PTQ))
    drive(open_searcher(seed=3, space=wide), 5)
    resumed = open_searcher(seed=3, space=wide)
    drive(resumed, 5)
    assert resumed.repeats == 0


@pytest.mark.parametrize("seed", range(3))
def test_crashes_at_any_time_lose_nothing_and_double_nothing(
    open_searcher, open_ledger, monkeypatch, seed
):
    """Two trials run at a time, and the driver dies every few steps."""
    dice, names, trials = random.Random(seed), count(), 14
    searcher, running = open_searcher(seed, WARM_STARTS), []

    def complete_first():
        trial_id, suggestion = running.pop(0)
        searcher.on_trial_complete(trial_id, reported(tabulated(plan_of(suggestion))))

    while len(searcher._ledger.records) < trials:
        fate = dice.random()
        if fate < 0.1:
            searcher, running = open_searcher(seed, WARM_STARTS), []
        elif fate < 0.2 and running:
            # This time between the row and the telling.
            monkeypatch.setattr(searcher._study, "tell", killed)
            with pytest.raises(KilledError):
                complete_first()
            searcher, running = open_searcher(seed, WARM_STARTS), []
        elif len(running) == 2:
            complete_first()
        else:
            name = f"trial-{next(names)}"
            running.append((name, searcher.suggest(name)))

    searcher = open_searcher(seed, WARM_STARTS)
    records = open_ledger().records
    plans = [record.plan for record in records.values()]
    assert len(plans) >= trials
    assert len(set(plans)) == len(plans)
    assert {r.plan for r in records.values() if r.origin == "warm_start"} == set(WARM_STARTS)
    for trial in searcher.optuna_trials:
        assert trial.state != TrialState.RUNNING
        if trial.number in records:
            assert trial.state == TrialState.COMPLETE
            expected = records[trial.number].result
            assert trial.values == [expected.metric_loss, expected.latency_ratio]
        elif trial.state == TrialState.COMPLETE:
            # A repeat: it has no row of its own.
            assert trial.user_attrs[REPEATS] in records
    # All that is left to ask for is asked for once.
    waiting = [t.user_attrs["plan"] for t in searcher.optuna_trials if not t.state.is_finished()]
    assert len(set(waiting)) == len(waiting)


def test_a_killed_drivers_journal_lock_keeps_nobody_waiting(open_searcher, tmp_path):
    drive(open_searcher(), 1)
    # Optuna's lock is a link, and a killed process leaves it behind.
    (tmp_path / f"{JOURNAL}.lock").symlink_to(tmp_path / JOURNAL)
    start = time.monotonic()
    drive(open_searcher(), 1)
    # Optuna itself gives such a lock up after 30 s.
    assert time.monotonic() - start < 15


def test_a_warm_start_in_the_ledger_is_not_tried_again(open_searcher, open_ledger, record):
    ledger = open_ledger()
    ledger.record(record(0, tabulated(WARM_STARTS[1]), WARM_STARTS[1]))
    searcher = open_searcher(warm_starts=WARM_STARTS)
    assert drive(searcher, 3) == [WARM_STARTS[0], *WARM_STARTS[2:]]
    assert searcher.repeats == 0


def cut_journal(path, after):
    """Cut a journal after the first line that has a text, as if the driver had died there."""
    lines = path.read_text().splitlines(keepends=True)
    last = next(index for index, line in enumerate(lines) if after in line)
    path.write_text("".join(lines[: last + 1]))


@pytest.mark.parametrize("after", ['"op_code":6', '"param_name":"channels/a"'])
def test_a_warm_start_is_not_lost_if_the_driver_dies_while_asking(open_searcher, tmp_path, after):
    """Optuna writes that a trial runs, then a line for each of its parameters."""
    open_searcher(warm_starts=WARM_STARTS).suggest("lost")
    cut_journal(tmp_path / JOURNAL, after)
    assert set(drive(open_searcher(warm_starts=WARM_STARTS), 4)) == set(WARM_STARTS)


@pytest.mark.parametrize("missing", [1, 10, 60])
def test_a_journal_whose_last_line_was_cut_short_is_carried_on(open_searcher, tmp_path, missing):
    """A full disk or a power cut does that."""
    plans = drive(open_searcher(), 2)
    journal = tmp_path / JOURNAL
    journal.write_bytes(journal.read_bytes()[:-missing])
    plans += drive(open_searcher(), 2)
    searcher = open_searcher()
    plans += drive(searcher, 2)
    assert len(set(plans)) == 6
    assert {trial.state for trial in searcher.optuna_trials} == {TrialState.COMPLETE}


def test_repeats_are_counted_over_a_resume(open_searcher):
    searcher = open_searcher(space=one_group(64))
    drive(searcher, 8)
    assert open_searcher(space=one_group(64)).repeats == searcher.repeats > 0


def test_the_origin_of_a_plan_is_known_to_optuna(open_searcher):
    searcher = open_searcher(warm_starts=WARM_STARTS[:1])
    drive(searcher, 2)
    assert optuna_trial(searcher, 0).user_attrs[ORIGIN] == "warm_start"
    assert ORIGIN not in optuna_trial(searcher, 1).user_attrs
