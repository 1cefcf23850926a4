"""The search space: the choices asked for that the engine offers and that could be timed."""

import pytest

from search.config import RunConfig
from search.records.search_space import build_space, drop_untimed, reference_timings
from spaces.errors import ConfigError
from spaces.plan import Plan, QuantizationChoice
from tests.search.made_run import baseline
from trainables.results import Reference, Untimed

FLOAT, PTQ = QuantizationChoice.FLOAT, QuantizationChoice.INT8_PTQ


def space_of(offered, asked):
    config = RunConfig(budget=0.1, choices=asked)
    return build_space(config, baseline(choices=offered))


def test_without_choices_all_that_the_engine_offers_are_tried():
    found = space_of((FLOAT, PTQ), None)
    assert found.choices == (FLOAT, PTQ)
    assert found.groups == baseline().groups


def test_a_choice_that_the_engine_lacks_is_excluded():
    assert space_of((FLOAT,), [PTQ, FLOAT]).choices == (FLOAT,)


def test_choices_that_the_engine_all_lacks_are_refused():
    with pytest.raises(ConfigError, match=r"\['int8_ptq'\]: .* offers only float"):
        space_of((FLOAT,), [PTQ])


def test_a_choice_stays_if_one_of_its_references_was_timed():
    space = space_of((FLOAT, PTQ), None)
    half, whole = Plan.of({space.groups[0].name: 0.5}, PTQ), Plan.of({}, PTQ)
    untimed = [Untimed(half, "slow"), Untimed(whole, "slow")]
    assert drop_untimed(space, untimed).choices == (FLOAT,)
    assert drop_untimed(space, [untimed[0], Reference(whole, 0.5)]).choices == (FLOAT, PTQ)


def test_the_baselines_own_ratio_is_known_where_float_is_a_choice():
    reference = Reference(Plan.of({}, PTQ), 0.25)
    known = baseline(choices=(FLOAT, PTQ), references=(reference,))
    both = build_space(RunConfig(budget=0.1), known)
    assert reference_timings(known, both) == [(reference.plan, 0.25), (Plan(), 1.0)]
    quantized = build_space(RunConfig(budget=0.1, choices=[PTQ]), known)
    assert reference_timings(known, quantized) == [(reference.plan, 0.25)]
