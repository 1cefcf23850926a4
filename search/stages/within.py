"""What fits into the time of a run with a deadline: the measurements before its search, its plans
and their levels."""

from __future__ import annotations

from search.config import RunConfig, changed
from search.context import StudyContext
from search.needs import trials_at_once
from search.records.run_folder import read_config, run_once, write_config
from search.records.stage_files import Fitted, Survey
from search.schedule.durations import duration_text, minutes
from search.schedule.fitting import fitted, fitted_survey, with_levels
from spaces.errors import StudyError
from trainables.results import Baseline

SURVEY, STAGE = "survey", "within"
# Share of the training in full that the settings ask for below which it is said. A guess.
SHORT = 0.5


def fit_survey(study: StudyContext, baseline: Baseline) -> StudyContext:
    """Return the study with the measurements before its search that fit into the time.

    A resumed run keeps those that it began with; a run without a deadline is returned as it is.
    """
    config, run = study.config, study.run
    known = run.stage(SURVEY)
    # A run that has its sensitivities was begun without a deadline, or by an older version.
    if known is None and (config.within is None or run.stage("sensitivity") is not None):
        return study

    def compute() -> Survey:
        assert config.within is not None
        left_s = config.within - study.clock.elapsed_s()
        at_once = trials_at_once(config, study.cluster.now())
        return fitted_survey(config, baseline, left_s, at_once)

    found: Survey = run_once(run, SURVEY, compute)
    fitted_to = changed(config, vars(found))
    if fitted_to != config:
        left_out = ", and branches stay in" if config.branches and not found.branches else ""
        study.display.say(
            f"{STAGE:<12} sensitivities at {found.sensitivity_points} ratios a group, on "
            f"{found.sensitivity_share:.0%} of the validation split{left_out}: the run has no time "
            "for more"
        )
    stored = read_config(run.path)
    if stored.branches != found.branches:
        # What the run's plans are made of is the run's own from now on.
        write_config(run, changed(stored, {"branches": found.branches}))
    return study.configured(fitted_to)


def fit_search(study: StudyContext, baseline: Baseline, *, begun: bool) -> StudyContext:
    """Return the study with the levels that fit into the time that is left.

    They are persisted, and written to the run's configuration: a resumed run keeps its levels. A
    run without a deadline, or whose search has `begun` without one, is returned as it is. Raises
    StudyError if there is no time for a single plan.
    """
    config, run = study.config, study.run
    known = run.stage(STAGE)
    if known is None and (config.within is None or begun):
        return study
    found: Fitted = run_once(run, STAGE, lambda: _fitted(study, baseline))
    if config.within is not None:
        left_s = config.within - study.clock.elapsed_s()
        study.display.say(
            f"{STAGE:<12} {minutes(max(0.0, left_s))} of {duration_text(config.within)} are left: "
            f"{_in_words(found, config)}"
        )
    stored = read_config(run.path)
    if with_levels(stored, found) != stored:
        write_config(run, with_levels(stored, found))
    return study.configured(with_levels(config, found))


def _in_words(found: Fitted, config: RunConfig) -> str:
    if found.plans == 1:
        return "time for one plan, the unpruned model in another precision"
    share = found.retrain_samples / config.retrain_samples
    return (
        f"about {found.plans} plans, the best of them trained on {found.retrain_samples:,} "
        f"samples{f', {share:.0%} of retrain_samples' if share < SHORT else ''}"
    )


def _fitted(study: StudyContext, baseline: Baseline) -> Fitted:
    config = study.config
    assert config.within is not None
    left_s = config.within - study.clock.elapsed_s()
    found = fitted(config, baseline, left_s, trials_at_once(config, study.cluster.now()))
    if found is None:
        raise StudyError(
            f"within {duration_text(config.within)}: {minutes(max(0.0, left_s))} are left after "
            "what comes before the search, too little for a plan; what was measured is stored, so "
            "carry on with --resume and a longer --within"
        )
    return found
