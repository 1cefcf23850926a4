"""Each part of Ray Tune's inside that the search relies on, tried against the installed Ray."""

import ast
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import ray
from ray import tune
from ray.exceptions import ActorDiedError, NodeDiedError, RayTaskError
from ray.train._internal.storage import StorageContext
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

import search
from search.tune import ray_quirks
from search.tune.outcomes import OutcomeCallback
from search.tune.overdue import TrialWatch
from search.tune.searcher import PlanSearcher
from search.tune.stopping import BudgetScheduler

INTERNALS = {
    *("temporary_state", "run_metadata", "placement_group_factory", "evaluated_params"),
    *("error_file", "pickled_error_file", "invalidate_json_state", "choose_trial_to_run"),
    *("_private", "_raylet", "_internal"),
}


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """Make a trial that runs, as Ray Tune has it; no Ray is needed for it."""
    session = "ray.train._internal.storage._get_ray_train_session_dir"
    monkeypatch.setattr(session, lambda: str(tmp_path / "session"))

    def make(number=1):
        storage = StorageContext(str(tmp_path), "tune", trial_dir_name=f"plan-{number}")
        own = {"number": number}
        made = Trial("never", stub=True, config=own, evaluated_params=own, storage=storage)
        made.placement_group_factory = tune.PlacementGroupFactory([{"CPU": 1, "GPU": 0.5}])
        Path(made.local_path).mkdir(parents=True, exist_ok=True)
        made.temporary_state.location = None
        made.set_status(Trial.RUNNING)
        return made

    return make


def raised(error):
    """An error that a trial raised, as Ray reports it."""
    try:
        raise error
    except type(error) as caught:
        return RayTaskError("step", "Traceback of:\n" + repr(caught), caught)


def test_no_other_file_of_the_driver_touches_rays_internals():
    root = Path(search.__file__).parent
    found = {}
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = set()
            if isinstance(node, ast.Attribute):
                names = {node.attr}
            elif isinstance(node, ast.ImportFrom):
                names = {*(node.module or "").split(".")}
            elif isinstance(node, ast.FunctionDef):
                names = {node.name}
            if names & INTERNALS:
                found[path.relative_to(root).as_posix()] = names & INTERNALS
    assert set(found) == {"tune/ray_quirks.py"}


TRACKERS = """
import importlib, sys
from search.tune import ray_quirks
if sys.argv[1] == "left":
    ray_quirks.leave_callbacks_uncounted()
importlib.import_module("ray.tune.tune").air_usage.tag_callbacks([object()])
print("ray.air.integrations.mlflow" in sys.modules)
"""


@pytest.mark.parametrize("counted, imported", [("counted", "True"), ("left", "False")])
def test_no_tracker_is_imported_to_count_callbacks(counted, imported):
    ended = subprocess.run(
        [sys.executable, "-c", TRACKERS, counted], capture_output=True, text=True, check=True
    )
    assert ended.stdout.split() == [imported]


def test_only_a_retired_actor_cannot_serve_another_trial(trial):
    grown, next_one = trial(1), trial(2)
    # Ray reuses an actor for an equal placement group.
    assert grown.placement_group_factory == next_one.placement_group_factory
    ray_quirks.retire_actor(grown)
    assert grown.placement_group_factory != next_one.placement_group_factory
    assert grown.placement_group_factory.bundles == next_one.placement_group_factory.bundles


def test_finished_trials_share_their_request_and_hold_no_plan(trial):
    finished = ray_quirks.FinishedTrials()
    trials = [trial(number) for number in range(4)]
    for one in trials:
        one.run_metadata.last_result = {"retire": True, "done": True}
        finished.add(one)
    ray_quirks.retire_actor(trials[1])
    *ended, still_running = trials
    for one in ended:
        one.set_status(Trial.TERMINATED)
    finished.free()
    assert len({id(one.placement_group_factory) for one in ended}) == 1
    assert not any(one.config or one.evaluated_params for one in ended)
    assert not any("retire" in one.last_result for one in ended)
    assert still_running.config and "retire" in still_running.last_result


def test_a_freed_trial_can_still_be_written_down_by_ray(trial):
    finished, ended = ray_quirks.FinishedTrials(), trial()
    before = len("".join(ended.get_json_state()))
    ended.set_status(Trial.TERMINATED)
    finished.add(ended)
    finished.free()
    assert 0 < len("".join(ended.get_json_state())) < before


def test_ray_may_choose_no_trial_and_takes_them_in_order():
    assert ray_quirks.InOrder().choose_trial_to_run(None) is None
    # Overridden, not an own method that Ray never calls.
    assert hasattr(FIFOScheduler, "choose_trial_to_run")


@pytest.mark.parametrize("kind", [OutcomeCallback, TrialWatch, PlanSearcher, BudgetScheduler])
def test_what_ray_is_given_is_not_pickled(kind):
    made = kind.__new__(kind)
    made.holds = (line for line in "what no pickle takes")
    assert type(pickle.loads(pickle.dumps(made))) is object
    assert type(pickle.loads(ray.cloudpickle.dumps(made))) is object


def test_a_worker_is_known_and_killed(trial, monkeypatch):
    killed = []
    monkeypatch.setattr(ray, "kill", killed.append)
    running = trial()
    assert not ray_quirks.has_worker(running)
    running.temporary_state.ray_actor = "actor"
    assert ray_quirks.has_worker(running)
    ray_quirks.kill_worker(running)
    assert killed == ["actor"]


@pytest.mark.parametrize(
    ("error", "lost", "reason"),
    [
        (raised(ValueError("no such group")), False, "no such group"),
        (ActorDiedError(), True, ActorDiedError.BASE_ERROR_MSG),
        (ActorDiedError(raised(ValueError("no weights"))), False, "no weights"),
    ],
    ids=["raised", "died", "raised as it began"],
)
def test_an_error_is_read_from_the_files_that_ray_writes(trial, error, lost, reason):
    failed = trial()
    failed.handle_error(error)
    assert ray_quirks.lost_its_worker(failed) is lost
    said = ray_quirks.failure_reason(failed)
    assert reason in said and "\n" not in said and len(said) <= ray_quirks.LONGEST_REASON


def test_a_lost_node_leaves_no_pickled_error_and_a_reason(trial):
    failed = trial()
    failed.handle_error(NodeDiedError("the node died"))
    assert ray_quirks.failure_reason(failed) == "the node died"


def test_a_trial_without_an_error_file_has_a_reason_too(trial):
    assert ray_quirks.failure_reason(trial()) == "the worker failed"
    assert not ray_quirks.lost_its_worker(trial())
