"""Which actors Ray Tune gives on to the next trial; test_searcher_losses.py has those it lost."""

import pytest
from ray import tune
from ray.tune.experiment import Trial

from search.tune.outcomes import OutcomeCallback
from trainables.trainable import RETIRE


@pytest.fixture
def ended():
    """Make a trial that has ended, as Ray Tune has it."""

    def make(retire):
        trial = Trial("never", stub=True, config={"number": 1}, evaluated_params={"number": 1})
        trial.placement_group_factory = tune.PlacementGroupFactory([{"CPU": 1, "GPU": 0.5}])
        trial.run_metadata.last_result = {RETIRE: retire, "done": True}
        trial.temporary_state.location = None
        trial.set_status(Trial.TERMINATED)
        return trial

    return make


def complete(callback, trial):
    callback.on_trial_complete(0, [trial], trial)


def test_an_actor_is_given_on_unless_it_has_grown(ended):
    callback = OutcomeCallback(searcher=None)
    first, grown, last = ended(False), ended(True), ended(False)
    wanted = first.placement_group_factory
    for trial in (first, grown, last):
        complete(callback, trial)
    assert last.placement_group_factory == wanted
    # Nobody asks for the same resources in this way, so its actor is not taken again.
    assert grown.placement_group_factory != wanted
    assert grown.placement_group_factory.bundles == wanted.bundles


def test_finished_trials_share_their_request_and_keep_no_plan(ended):
    callback = OutcomeCallback(searcher=None)
    trials = [ended(False), ended(True), ended(False)]
    for trial in trials:
        complete(callback, trial)
    callback.on_step_end(0, trials)
    assert len({id(trial.placement_group_factory) for trial in trials}) == 1
    assert not any(trial.config or trial.evaluated_params for trial in trials)
