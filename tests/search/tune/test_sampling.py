import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from search.tune import sampling
from search.tune.sampling import STARTUP, RecentTPESampler, optuna_distributions
from spaces.space import CategoricalParameter, IntegerParameter

DISTRIBUTIONS = {"x": FloatDistribution(0.0, 1.0), "kind": CategoricalDistribution(("a", "b"))}
OTHER_WAY = {"low": lambda x: (x, x), "high": lambda x: (1 - x, 1 - x)}


def new_study(seed=0):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(
        directions=["minimize", "minimize"], sampler=RecentTPESampler(DISTRIBUTIONS, seed)
    )


def ended(study, x, values=None, state=TrialState.COMPLETE, constraint=None):
    """Add a trial at `x`."""
    study.enqueue_trial({"x": x, "kind": "a"})
    trial = study.ask(DISTRIBUTIONS)
    if constraint is not None:
        trial.set_constraint("budget", constraint)
    study.tell(trial, values, state=state)


def trained(study, good, count=30):
    """Add trials all over, of which those at the `good` end are better in both objectives."""
    for index in range(count):
        x = (index + 0.5) / count
        ended(study, x, OTHER_WAY[good](x))


def suggestions(study, count=20):
    """Return what is suggested next; nothing comes of it."""
    found = []
    for _ in range(count):
        trial = study.ask(DISTRIBUTIONS)
        found.append(trial.params["x"])
        study.tell(trial, state=TrialState.FAIL)
    return found


def mean(values):
    return sum(values) / len(values)


def test_parameters_in_optunas_words():
    found = optuna_distributions(
        {
            "kept": IntegerParameter(8, 64, 8),
            "quantization": CategoricalParameter(("float", "int8_ptq")),
        }
    )
    assert found == {
        "kept": IntDistribution(8, 64, step=8),
        "quantization": CategoricalDistribution(("float", "int8_ptq")),
    }
    assert list(found) == ["kept", "quantization"]


def test_every_parameter_is_suggested_within_its_bounds():
    study = new_study()
    trained(study, "low")
    for _ in range(20):
        trial = study.ask(DISTRIBUTIONS)
        assert set(trial.params) == {"x", "kind"}
        assert 0 <= trial.params["x"] <= 1
        assert trial.params["kind"] in ("a", "b")


def test_the_same_seed_gives_the_same_suggestions():
    found = []
    for seed in (3, 3, 4):
        study = new_study(seed)
        first = suggestions(study, 5)
        trained(study, "low")
        found.append(first + suggestions(study, 5))
    assert found[0] == found[1]
    assert found[0][:5] != found[2][:5]
    assert len(set(found[0])) == 10


def test_suggestions_go_where_trials_were_good():
    low, high = new_study(), new_study()
    trained(low, "low")
    trained(high, "high")
    assert mean(suggestions(low)) < 0.35
    assert mean(suggestions(high)) > 0.65


def test_the_first_trials_are_random_whatever_they_show():
    low, high = new_study(), new_study()
    trained(low, "low", STARTUP - 1)
    trained(high, "high", STARTUP - 1)
    assert suggestions(low, 5) == suggestions(high, 5)
    ended(low, 0.1, (0.1, 0.1))
    ended(high, 0.1, (0.9, 0.9))
    assert suggestions(low, 5) != suggestions(high, 5)


def test_trials_that_break_a_constraint_are_kept_away_from():
    study = new_study()
    for index in range(30):
        x = (index + 0.5) / 30
        # The lower the better, but below the middle nothing is allowed.
        ended(study, x, (x, x), constraint=0.5 - x)
    assert mean(suggestions(study)) > 0.5


def test_failures_teach_nothing():
    one, other = new_study(), new_study()
    for study, x in ((one, 0.1), (other, 0.9)):
        trained(study, "low")
        for _ in range(10):
            ended(study, x, state=TrialState.FAIL)
    assert suggestions(one, 5) == suggestions(other, 5)


@pytest.mark.parametrize("window", [20, 1000])
def test_what_is_long_ago_is_forgotten(monkeypatch, window):
    """Beyond twice the window at the latest, and inside it never."""
    monkeypatch.setattr(sampling, "WINDOW", window)
    one, other = new_study(), new_study()
    trained(one, "low", 60)
    trained(other, "high", 60)
    for study in (one, other):
        trained(study, "low", 45)
    same = suggestions(one, 5) == suggestions(other, 5)
    assert same is (window == 20)


def test_a_sampler_that_comes_later_learns_from_the_trials_there_are():
    """As after a resume: the study is older than the sampler."""
    study = new_study()
    trained(study, "high")
    study.sampler = RecentTPESampler(DISTRIBUTIONS, 1)
    assert mean(suggestions(study)) > 0.65


def test_each_trial_is_shown_once(monkeypatch):
    sampler = RecentTPESampler(DISTRIBUTIONS, 0)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    trained(study, "low", 12)
    suggestions(study, 3)
    complete = sampler._shown.get_trials(states=(TrialState.COMPLETE,))
    shown = [trial.params["x"] for trial in complete]
    assert shown == [(index + 0.5) / 12 for index in range(12)]


def test_what_was_refused_is_sampled_less_and_is_no_trial():
    def low(refused):
        study = new_study()
        trained(study, "low")
        sampler = study.sampler
        drawn = []
        for _ in range(40):
            parameters = sampler.draw(study)
            drawn.append(parameters["x"] < 0.3)
            if refused and drawn[-1]:
                sampler.refuse(parameters, {"size": parameters["x"]})
        assert len(study.trials) == 30
        return sum(drawn[20:])

    assert low(refused=True) < low(refused=False)
