"""A deadline, on searches whose levels take simulated seconds: nothing waits."""

import heapq

import pytest
from ray.tune.search import Searcher

from search.schedule.deadline import Deadline, Pace
from search.schedule.estimates import SPEEDS, LevelSeconds
from search.tune.plan_source import Sources
from search.tune.searcher import Limits, PlanSearcher
from tests.search.tune.tabulated import JOURNAL, plan_of, reported
from trainables.trainable import LEVEL, NUMBER

LEVELS = (1 / 16, 1 / 4, 1.0)
GUESSED = tuple(LevelSeconds(5.0 * share, 5.0 * share, 1.0) for share in (1, 3, 12))
END_S = 20.0
WORKERS = 2


class Simulated:
    """A search over workers, driven in simulated time."""

    def __init__(
        self, monkeypatch, folder, ledger, space, within_s, slower=1.0, trials=None, begins=False
    ):
        self.now, self.busy_s, self.begun, self.ledger = 0.0, 0.0, [], ledger
        self._slower, self._age_s = slower, 0.0
        self.deadline = Deadline(
            lambda: within_s - self.now,
            Pace(GUESSED, ledger),
            len(LEVELS),
            end_s=END_S,
            finalists=3,
            at_once=WORKERS,
            begins_untrained=begins,
        )
        limits = Limits(trials, deadline=self.deadline)
        self.searcher = PlanSearcher(Sources(space), ledger, folder / JOURNAL, 0, limits=limits)
        monkeypatch.setattr("search.tune.searcher.RunningTrial.age_s", lambda trial: self._age_s)

    def run(self, outcome):
        running, turn = [], 0
        while True:
            while len(running) < WORKERS:
                asked = self.searcher.suggest(f"t{turn}")
                if not isinstance(asked, dict):
                    break
                level = GUESSED[asked[LEVEL]]
                trained = plan_of(asked).quantization.is_trained
                spent_s = self._slower * level.training_s(float(trained))
                ends = self.now + spent_s + level.other_s
                heapq.heappush(running, (ends, turn, asked, spent_s, self.now))
                self.begun.append((self.now, asked[NUMBER], asked[LEVEL]))
                turn += 1
            if not running:
                return asked
            ends, ended, asked, spent_s, since = heapq.heappop(running)
            self.now, self._age_s = ends, ends - since
            self.busy_s += ends - since
            result = outcome(asked)
            result.seconds.update(finetune=spent_s, export=GUESSED[0].other_s)
            self.searcher.on_trial_complete(f"t{ended}", reported(result))

    @property
    def busy(self):
        """Share of the workers' time that was used."""
        return self.busy_s / (WORKERS * self.now)


@pytest.fixture
def simulated(monkeypatch, tmp_path, open_ledger, space):
    """Make a search that has this time, in a folder of its own."""

    def make(within_s, **more):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        ledger = open_ledger(folder=folder, fidelities=LEVELS)
        return Simulated(monkeypatch, folder, ledger, space, within_s, **more)

    return make


@pytest.fixture
def outcome(result, measurement):
    """The result of a level: every level leaves two thirds of the loss before."""

    def make(asked):
        level, plan = asked[LEVEL], plan_of(asked)
        pruned = plan.ratio("a") + plan.ratio("b")
        loss, ratio = 0.2 * pruned * (2 / 3) ** level, 1 - pruned / 3
        last = level == len(LEVELS) - 1
        return result(
            "COMPLETE" if last else "PAUSED",
            loss,
            ratio,
            [measurement(loss, rung=level, fidelity=LEVELS[level])],
            level=level,
            fidelity=LEVELS[level],
            standard_error=0.001,
        )

    return make


@pytest.mark.parametrize("slower", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("within_s", [300.0, 400.0])
def test_the_search_ends_in_time_and_uses_it(simulated, outcome, within_s, slower):
    search = simulated(within_s, slower=slower)
    assert search.run(outcome) == Searcher.FINISHED
    assert search.searcher.done
    assert search.now <= 1.02 * within_s - END_S
    # What is left over is too short to train a plan in full.
    assert search.deadline.spare_s() < search.deadline._pace.seconds(0, len(LEVELS) - 1)
    assert search.busy >= 0.8
    assert search.ledger.complete()


def test_a_slower_machine_tries_fewer_plans(simulated, outcome):
    fast, slow = (simulated(400.0, slower=slower) for slower in (0.5, 2.0))
    for search in (fast, slow):
        search.run(outcome)
    assert len(fast.ledger.records) > 1.5 * len(slow.ledger.records)


def test_the_given_number_of_plans_ends_the_search_early(simulated, outcome):
    search = simulated(10_000.0, trials=6)
    search.run(outcome)
    assert len(search.ledger.records) == 6 and search.now < 2_000


def test_without_time_nothing_begins(simulated, outcome):
    search = simulated(END_S)
    assert search.run(outcome) == Searcher.FINISHED
    assert not search.begun and search.searcher.done


def test_with_time_for_no_training_the_plan_that_needs_none_begins(simulated, outcome):
    search = simulated(END_S + 2 * GUESSED[0].other_s, begins=True)
    assert search.run(outcome) == Searcher.FINISHED
    assert len(search.begun) == 1 and search.searcher.done
    assert not simulated(END_S + GUESSED[0].other_s / 2, begins=True).deadline.allows_plan(0)


def test_near_the_end_only_what_can_be_trained_in_full_is_promoted(
    simulated, open_ledger, record, result
):
    search = simulated(400.0)
    paused = record(0, result("PAUSED", 0.05, 0.3, fidelity=LEVELS[0], level=0))
    needed = 3 * 5 + 12 * 5 + 2 * 1
    assert search.deadline.seconds_left(paused) == pytest.approx(needed)
    search.now = 400.0 - END_S - needed
    assert search.deadline.allows(paused)
    search.now += 1
    assert not search.deadline.allows(paused)


def test_the_pace_is_that_of_the_finished_levels(open_ledger, record, result):
    ledger = open_ledger(fidelities=LEVELS)
    pace = Pace(GUESSED, ledger)
    assert pace.seconds(0, 2, 0) == 80 + 3
    ledger.record(
        record(
            0,
            result(
                "PAUSED",
                0.1,
                0.3,
                level=0,
                fidelity=1 / 16,
                seconds={"finetune": 4.5, "export": 2.0},
            ),
        )
    )
    # 4.5 s of training where 5 were guessed, and 2 s of the rest.
    assert pace.seconds(0, 2, 0) == pytest.approx(0.9 * 80 + 3 * (2.0 + SPEEDS.between_s))
