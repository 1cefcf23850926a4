"""The search that is fitted to a deadline, and what a resumed run makes of it."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from clusters.connect import Cluster
from search.config import RunConfig
from search.console import Display
from search.context import StudyContext, trial_settings
from search.records.clock import StageClock
from search.records.opening import create_run
from search.records.run_folder import read_config
from search.stages.within import fit_search, fit_survey
from spaces.errors import StudyError
from spaces.plan import PruningGroup
from tests.search.made_run import baseline
from trainables.levels import training_levels

# As the built-in problem on two cores.
SLOW = {"train_s": 1 / 120, "evaluate_s": 0.5}


class TwoCores(Cluster):
    def __init__(self):
        pass

    def now(self):
        return self

    cpus, gpus = 2, 0


@pytest.fixture
def study(tmp_path):
    """Make a study with a deadline, of which this many seconds have passed."""
    made = []

    def make(within, spent_s=0.0, printed=None):
        config = RunConfig(budget=0.1, within=within, out=str(tmp_path / "run"))
        if not made:
            made.append(create_run(config))
        (run,) = made
        display = Display(Console(file=printed or io.StringIO(), width=200))
        settings, clock = trial_settings(config, run), StageClock({"search": spent_s})
        return StudyContext(config, run, settings, None, TwoCores(), None, display, clock)

    yield make
    made[0].release()


def levels(settings):
    return [level.samples for level in training_levels(settings, baseline(**SLOW))]


def test_levels_are_fitted_once_for_the_workers_and_the_reports_too(study):
    printed = io.StringIO()
    first = fit_search(study("30m", 60.0, printed), baseline(**SLOW), begun=False)
    assert levels(first.config) == levels(first.settings) == levels(read_config(first.run.path))
    assert levels(first.config)[-1] > levels(study("30m").config)[-1]
    assert printed.getvalue().startswith("within       29 min of 30m are left: about ")
    # Later there is less time, and the search has begun: its levels stay.
    again = fit_search(study("30m", 1500.0), baseline(**SLOW), begun=True)
    assert levels(again.config) == levels(first.config)


def test_a_short_training_is_said_and_its_finalists_are_kept(study):
    printed = io.StringIO()
    found = fit_search(study("2m", 30.0, printed), baseline(**SLOW), begun=False)
    assert found.config.retrain_samples < RunConfig(budget=0.1).retrain_samples / 2
    assert "% of retrain_samples\n" in printed.getvalue()
    assert found.config.finalists == read_config(found.run.path).finalists


def test_a_run_without_a_deadline_is_left_as_it_is(study):
    given = study("30m")
    plain = replace(given, config=RunConfig(budget=0.1))
    assert fit_search(plain, baseline(**SLOW), begun=False) is plain


def test_a_deadline_that_is_given_later_leaves_the_levels(study):
    given = study("30m")
    assert fit_search(given, baseline(**SLOW), begun=True) is given
    assert given.run.stage("within") is None


def test_without_time_for_a_plan_nothing_is_persisted_and_a_longer_one_helps(study):
    with pytest.raises(StudyError, match=r"within 1m30s: 15 s are left .* a longer --within"):
        fit_search(study("90s", 75.0), baseline(**SLOW), begun=False)
    longer = fit_search(study("10m", 60.0), baseline(**SLOW), begun=False)
    assert levels(longer.config)


def test_with_time_for_no_training_the_unpruned_model_is_said(study):
    printed = io.StringIO()
    fit_search(study("90s", 60.0, printed), baseline(**SLOW), begun=False)
    assert printed.getvalue() == (
        "within       30 s of 1m30s are left: time for one plan, the unpruned model in another "
        "precision\n"
    )


def test_the_measurements_before_the_search_are_fitted_once(study):
    printed = io.StringIO()
    slow = baseline(train_s=0.02, evaluate_s=40.0)
    first = fit_survey(study("6m", 60.0, printed), slow)
    assert first.config.sensitivity_points < RunConfig(budget=0.1).sensitivity_points
    assert first.settings.sensitivity_share == first.config.sensitivity_share < 1
    assert "sensitivities at 2 ratios a group, on 25% of the validation split" in printed.getvalue()
    # Resumed with more time it keeps them: what is measured stays of use.
    again = fit_survey(study("60m"), slow)
    assert again.config.sensitivity_points == first.config.sensitivity_points
    plain = replace(study("6m"), config=RunConfig(budget=0.1))
    assert fit_survey(plain, slow).config.sensitivity_points == first.config.sensitivity_points


def test_branches_for_which_there_is_no_time_stay_in_also_for_later_commands(study):
    printed = io.StringIO()
    branch = PruningGroup("blocks.1", 1, is_branch=True)
    slow = baseline(train_s=0.02, evaluate_s=40.0, branches=(branch,))
    found = fit_survey(study("6m", 300.0, printed), slow)
    assert not found.config.branches and not read_config(found.run.path).branches
    assert "25% of the validation split, and branches stay in: the run" in printed.getvalue()
    # Resumed with more time it still has none.
    assert not fit_survey(study("60m"), slow).config.branches


def test_with_enough_time_all_is_measured_and_nothing_said(study):
    printed = io.StringIO()
    found = fit_survey(study("60m", printed=printed), baseline(**SLOW))
    assert found.config == study("60m").config and not printed.getvalue()


def test_sensitivities_that_are_there_are_not_said_to_be_fewer(study):
    given = study("6m", 60.0)
    given.run.finish_stage("sensitivity", {})
    assert fit_survey(given, baseline(train_s=0.02, evaluate_s=40.0)) is given
    assert given.run.stage("survey") is None
