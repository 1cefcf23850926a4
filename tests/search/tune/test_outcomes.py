"""What becomes of trials that ended; test_searcher_losses.py has those that lost their worker."""

import pytest
from ray import tune
from ray.tune.experiment import Trial

from search.tune.outcomes import OutcomeCallback
from trainables.trainable import RETIRE


@pytest.fixture
def ended():
    """Make a trial that has ended, as Ray Tune has it."""

    def make(retire):
        trial = Trial("never", stub=True)
        trial.placement_group_factory = tune.PlacementGroupFactory([{"CPU": 1, "GPU": 0.5}])
        trial.run_metadata.last_result = {RETIRE: retire, "done": True}
        trial.temporary_state.location = None
        trial.set_status(Trial.TERMINATED)
        return trial

    return make


def test_an_actor_is_reused_unless_it_has_grown(ended):
    callback = OutcomeCallback(searcher=None)
    first, grown, last = ended(False), ended(True), ended(False)
    reusable = first.placement_group_factory
    for trial in (first, grown, last):
        callback.on_trial_complete(0, [trial], trial)
    assert last.placement_group_factory == reusable != grown.placement_group_factory


class Told:
    """A searcher that notes what it is told; the trials in `on_purpose` were ended on purpose."""

    def __init__(self, on_purpose=()):
        self.on_purpose, self.failed, self.lost = dict(on_purpose), {}, {}

    def explanation(self, trial_id):
        return self.on_purpose.get(trial_id)

    def record_failure(self, trial_id, reason):
        self.failed[trial_id] = reason

    def note_loss(self, trial_id, reason):
        self.lost[trial_id] = reason


@pytest.mark.parametrize("lost", [True, False])
def test_only_a_lost_worker_gets_its_trial_another_try(ended, monkeypatch, lost):
    monkeypatch.setattr("search.tune.ray_quirks.lost_its_worker", lambda trial: lost)
    monkeypatch.setattr("search.tune.ray_quirks.failure_reason", lambda trial: "gone")
    searcher, trial = Told(), ended(False)
    OutcomeCallback(searcher).on_trial_error(0, [trial], trial)
    assert (searcher.lost, searcher.failed)[not lost] == {trial.trial_id: "gone"}
    assert not (searcher.lost, searcher.failed)[lost]


def test_a_trial_killed_on_purpose_has_failed_for_that_reason(ended, monkeypatch):
    monkeypatch.setattr("search.tune.ray_quirks.lost_its_worker", lambda trial: True)
    trial = ended(False)
    searcher = Told({trial.trial_id: "hung"})
    OutcomeCallback(searcher).on_trial_error(0, [trial], trial)
    assert searcher.failed == {trial.trial_id: "hung"} and not searcher.lost
