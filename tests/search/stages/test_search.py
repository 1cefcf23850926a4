"""Ray Tune itself, with trials that are formulas."""

import json
import os
import threading
import time
from pathlib import Path

import pytest
import ray
from ray import tune

from search.config import RunConfig
from search.console import Display
from search.context import StudyContext, cluster_of
from search.records.ledger import Ledger
from search.records.opening import create_run
from search.stages.search import search_plans
from search.tune.plan_source import Sources
from spaces.plan import Plan, PruningGroup
from spaces.space import Space
from tests.search.made_run import baseline
from tests.search.tune.tabulated import FLOAT, PTQ, reported, tabulated
from trainables.trainable import PLAN

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_token")]

TRIAL_S = 0.3
# Of a worker: many trials of the other's.
START_S = 3.0
# More than one worker can do while another starts, on a machine that is as busy as may be.
TRIALS = 200


class SlowStarter(tune.Trainable):
    """A trial that is shorter than the start of a worker, and nothing once two have started."""

    def setup(self, config, settings, baseline, node):
        time.sleep(START_S)
        self._plan, self._folder = config[PLAN], Path(baseline.fingerprint)

    def reset_config(self, new_config):
        self._plan = new_config[PLAN]
        return True

    def step(self):
        if len(list(self._folder.iterdir())) < 2:
            time.sleep(TRIAL_S)
        with (self._folder / str(os.getpid())).open("a") as file:
            file.write(".")
        return reported(tabulated(Plan.from_json(json.loads(self._plan))))


@ray.remote(num_cpus=1)
class Occupant:
    """What has a core until it is killed."""

    def here(self):
        return True


def test_a_core_that_becomes_free_late_gets_a_worker_though_trials_are_short(tmp_path):
    space = Space(tuple(PruningGroup(name, 64) for name in "abcd"), (FLOAT, PTQ))
    config = RunConfig(
        budget=0.1,
        trials=TRIALS,
        out=str(tmp_path / "run"),
        concurrency=2,
        # One level.
        retrain_samples=1,
    )
    run, display = create_run(config), Display()
    marks = tmp_path / "marks"
    marks.mkdir()
    with cluster_of(config, display) as cluster:
        taken = [Occupant.remote() for _ in range(cluster.cpus - 1)]
        assert all(ray.get([occupant.here.remote() for occupant in taken]))
        study = StudyContext.of(config, run, cluster, display)
        study.store.create()
        ledger = Ledger.load(study.store, config.budget, space.groups)

        def leave(_):
            if len(ledger.records) == 3:
                threading.Thread(target=ray.kill, args=(taken[0],)).start()

        ledger.listeners.append(leave)
        told = baseline(fingerprint=str(marks))
        search_plans(study, told, Sources(space), ledger, SlowStarter)
    run.release()
    trials = sorted(len(mark.read_text()) for mark in marks.iterdir())
    assert sum(trials) == TRIALS
    assert len(trials) == 2 and trials[0] > 5
