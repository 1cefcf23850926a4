import json
import os
import subprocess
import sys

import pytest

from spaces.plan import Plan, PruningGroup, QuantizationChoice

FLOAT, PTQ = QuantizationChoice.FLOAT, QuantizationChoice.INT8_PTQ


def test_plans_with_the_same_ratios_are_equal_in_whatever_order_they_are_given():
    one = Plan.of({"b": 0.5, "a": 0.25}, PTQ)
    other = Plan.of({"a": 0.25, "b": 0.5}, PTQ)
    assert one == other
    assert hash(one) == hash(other)
    assert one.key == other.key


def test_any_difference_changes_the_key():
    plans = [
        Plan.of({"a": 0.25}, PTQ),
        Plan.of({"a": 0.25}, FLOAT),
        Plan.of({"a": 0.5}, PTQ),
        Plan.of({"b": 0.25}, PTQ),
        Plan.of({}, PTQ),
        Plan.of({}, PTQ, ["a"]),
        Plan.of({}, PTQ, ["b"]),
    ]
    assert len({plan.key for plan in plans}) == len(plans)


def test_the_key_is_the_same_in_another_process():
    """Python's own hash of strings is not: it is salted."""
    plan = Plan.of({"a": 0.25, "b": 0.5}, PTQ)
    code = (
        "from spaces.plan import Plan, QuantizationChoice\n"
        "print(Plan.of({'a': 0.25, 'b': 0.5}, QuantizationChoice.INT8_PTQ).key)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == plan.key
    assert len(plan.key) == 16


def test_a_group_left_whole_is_not_in_the_plan():
    plan = Plan.of({"a": 0.0, "b": 0.5}, FLOAT)
    assert plan.ratios == (("b", 0.5),)
    assert plan == Plan.of({"b": 0.5}, FLOAT)
    assert plan.ratio("a") == 0.0
    assert plan.ratio("b") == 0.5


def test_only_a_plan_with_ratios_is_pruned():
    assert Plan.of({"a": 0.5}, FLOAT).is_pruned
    assert not Plan.of({"a": 0.0}, PTQ).is_pruned


def test_ratios_that_differ_by_rounding_errors_alone_are_one_plan():
    assert Plan.of({"a": 1 - 0.9}, FLOAT) == Plan.of({"a": 0.1}, FLOAT)


@pytest.mark.parametrize("ratio", [-0.1, 1.000001, 1.5])
def test_a_ratio_outside_0_and_1_is_refused(ratio):
    with pytest.raises(ValueError, match="of a is not above 0"):
        Plan.of({"a": ratio}, FLOAT)


def test_a_removed_branch_has_a_ratio_of_1_whether_it_is_given_as_an_integer_or_not():
    plan = Plan.of({"block": 1, "a": 0.5}, FLOAT)
    assert plan.ratio("block") == 1.0
    assert plan.key == Plan.of({"block": 1.0, "a": 0.5}, FLOAT).key
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


@pytest.mark.parametrize(("channels", "unit"), [(8, 1), (1, 2)])
def test_a_branch_has_one_channel(channels, unit):
    with pytest.raises(ValueError, match="branch block has"):
        PruningGroup("block", channels, unit=unit, is_branch=True)


def test_unsorted_ratios_are_refused():
    """They would have another key than the equal plan that is sorted."""
    with pytest.raises(ValueError, match="not sorted"):
        Plan((("b", 0.5), ("a", 0.5)), FLOAT)


@pytest.mark.parametrize("choice", QuantizationChoice)
def test_a_plan_comes_back_from_json(choice):
    plan = Plan.of({"a": 0.123456, "b": 0.5}, choice)
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again == plan
    assert again.quantization is choice


def test_what_the_engine_computes_in_and_what_is_trained():
    assert {
        choice.value: (choice.precision, choice.is_trained) for choice in QuantizationChoice
    } == {
        "float": ("float", False),
        "float16": ("float16", False),
        "bfloat16": ("bfloat16", False),
        "int8_ptq": ("int8", False),
        "int8_qat": ("int8", True),
        "int8_qat_pact": ("int8", True),
    }


def test_choices_with_equal_exports_are_timed_as_one():
    timed_as = {choice.value: choice.timed_as.value for choice in QuantizationChoice}
    assert timed_as == {
        "float": "float",
        "float16": "float16",
        "bfloat16": "bfloat16",
        "int8_ptq": "int8_ptq",
        "int8_qat": "int8_qat",
        "int8_qat_pact": "int8_qat",
    }
    assert all(choice.timed_as.timed_as is choice.timed_as for choice in QuantizationChoice)
    assert all(choice.timed_as.precision == choice.precision for choice in QuantizationChoice)


def test_the_branches_that_a_plan_takes_out_are_named():
    plan = Plan.of({"block": 1.0, "conv.weight": 0.5, "gate": 1}, QuantizationChoice.FLOAT)
    assert plan.removed == ("block", "gate")
    assert Plan().removed == ()


def test_layers_in_float_come_back_from_json_and_a_plan_without_says_nothing_of_them():
    plan = Plan.of({"a": 0.5}, PTQ, ["head", "conv", "head"])
    assert plan.float_layers == ("conv", "head")
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert "float_layers" not in Plan.of({}, PTQ).to_json()


@pytest.mark.parametrize("choice, layers", [(FLOAT, ("a",)), (PTQ, ("b", "a")), (PTQ, ("a", "a"))])
def test_layers_in_float_are_sorted_and_beside_int8_ones(choice, layers):
    with pytest.raises(ValueError, match="float"):
        Plan((), choice, layers)
