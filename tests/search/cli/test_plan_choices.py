import json
from argparse import Namespace

import pytest

from search.cli.plan_choices import (
    CHOICES,
    PRESETS,
    Ground,
    read_ratios,
    read_sensitivities,
    shipped,
)
from spaces.errors import ConfigError
from spaces.layers import Layer
from spaces.plan import Plan, PruningGroup, QuantizationChoice
from spaces.space import Space

FLOAT, PTQ = QuantizationChoice.FLOAT, QuantizationChoice.INT8_PTQ
SAID = []
BLOCK = PruningGroup("block", 1, is_branch=True)
SPACE = Space((PruningGroup("first", 16), PruningGroup("a", 64), PruningGroup("b", 64)))
CURVES = {
    "first": [(0.5, 0.0)],
    "a": [(0.25, 0.01), (0.5, 0.02), (0.75, 0.4)],
    # Sensitive at every ratio.
    "b": [(0.25, 0.3), (0.5, 0.5)],
}
LAYERS = (
    Layer("first", 1_000, 100, 16, 3, {"first": 1.0}, {}),
    Layer("a", 10_000, 100, 64, 16, {"a": 1.0}, {"first": 1.0}),
    Layer("b", 10_000, 100, 64, 64, {"b": 1.0}, {"a": 1.0}),
)


def ground(measured=None):
    return Ground(SPACE, LAYERS, lambda: CURVES if measured is None else measured(), SAID.append)


def plan(chosen_by, choice=PTQ, **given):
    return CHOICES[chosen_by](Namespace(**given), ground(), choice)


def test_uniform():
    assert plan("uniform", ratio=0.5) == Plan.of({"first": 0.5, "a": 0.5, "b": 0.5}, PTQ)


def test_explicit_ratios_are_taken_as_they_are():
    """PaddleDetection's ratios are not aligned."""
    found = plan("explicit", FLOAT, ratios="a=0.3, b=0.1")
    assert found == Plan.of({"a": 0.3, "b": 0.1}, FLOAT)


def test_threshold_measures_or_reads():
    assert plan("threshold", loss=0.02, sensitivities=None) == Plan.of(
        {"first": 0.5, "a": 0.5}, PTQ
    )


def test_threshold_with_sensitivities_from_elsewhere_measures_nothing(tmp_path):
    file = tmp_path / "s.json"
    file.write_text(json.dumps({"data": "elsewhere", "curves": {"b": [[0.25, 0.0]]}}))

    def never():
        raise AssertionError("measured")

    given = Namespace(loss=0.02, sensitivities=str(file))
    SAID.clear()
    assert CHOICES["threshold"](given, ground(never), PTQ) == Plan.of({"b": 0.25}, PTQ)
    assert SAID == ["sensitivities measured on elsewhere"]


def test_flops_leaves_the_first_groups_and_the_sensitive_ones_alone():
    found = plan("flops", removed=0.3, skip_first=1, sensitive=0.1, sensitivities=None)
    assert set(dict(found.ratios)) == {"a"}
    found = plan("flops", removed=0.3, skip_first=0, sensitive=0.1, sensitivities=None)
    assert set(dict(found.ratios)) == {"first", "a"}


def test_quantize_prunes_nothing():
    assert plan("quantize", float_layers=None) == Plan.of({}, PTQ)


BRANCHED = Space((*SPACE.groups[:2], PruningGroup("b", 64, inside=("block",)), BLOCK))


def test_a_branch_is_taken_out_by_the_ratio_1_with_all_that_lies_in_it():
    assert read_ratios("block=1, a=0.5, b=0.25", BRANCHED) == {"block": 1.0, "a": 0.5}
    assert read_ratios("block=0, b=0.25", BRANCHED) == {"block": 0.0, "b": 0.25}


@pytest.mark.parametrize(
    "text, message",
    [
        ("block=0.5", "block cannot be '0.5'; give 0 or 1, it is a branch"),
        ("a=1", "a cannot be '1'; give 0 to below 1"),
    ],
)
def test_a_ratio_that_a_branch_or_a_group_cannot_have(text, message):
    with pytest.raises(ConfigError, match=message):
        read_ratios(text, BRANCHED)


def test_ratios_from_a_file(tmp_path):
    file = tmp_path / "ratios.yaml"
    file.write_text("a: 0.5\nb: 0.25\n")
    assert read_ratios(str(file), SPACE) == {"a": 0.5, "b": 0.25}


@pytest.mark.parametrize(
    "text, message",
    [
        ("c=0.5", r"no group 'c'; search\.apply groups lists"),
        ("a=1", r"a cannot be '1'; give 0 to below 1"),
        ("a=much", r"a cannot be 'much'"),
        ("", r"write group=0\.3"),
    ],
)
def test_ratios_that_cannot_be_read(text, message):
    with pytest.raises(ConfigError, match=message):
        read_ratios(text, SPACE)


@pytest.mark.parametrize(
    "content, message",
    [
        ("no json", "not a readable table"),
        ('{"data": "x"}', "not a readable table"),
        ('{"data": "trees", "curves": {"z": [[0.5, 0.1]]}}', r"another model \(trees\)"),
    ],
)
def test_sensitivities_that_cannot_be_used(tmp_path, content, message):
    file = tmp_path / "s.json"
    file.write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_sensitivities(str(file), SPACE)


@pytest.mark.parametrize("name", shipped())
def test_shipped_tables_say_what_they_were_measured_on(name):
    content = json.loads((PRESETS / f"{name}.json").read_text())
    assert content["data"] and content["model"] and content["metric"]
    groups = tuple(PruningGroup(group, 64) for group in content["curves"])
    curves, data = read_sensitivities(name, Space(groups))
    assert data == content["data"]
    for curve in curves.values():
        ratios = [ratio for ratio, _ in curve]
        assert ratios == sorted(ratios) and all(0 < ratio < 1 for ratio in ratios)


def test_sensitivities_that_are_missing(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.json: not a readable table"):
        read_sensitivities(str(tmp_path / "none.json"), SPACE)


def test_layers_in_float_are_named_as_layers_or_by_their_weights():
    found = plan("quantize", float_layers="b.weight, a")
    assert found == Plan.of({}, PTQ, ["a", "b"])


@pytest.mark.parametrize(
    "name, said", [("frist", "did you mean first?"), ("z", "it has first, a, b")]
)
def test_a_layer_that_the_model_lacks(name, said):
    with pytest.raises(ConfigError) as found:
        plan("quantize", float_layers=f"a,{name}")
    assert str(found.value) == f"--float-layers: the model has no layer {name!r}; {said}"
