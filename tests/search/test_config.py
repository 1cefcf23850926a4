import pytest
import yaml

from search.config import MOST_PLANS, RunConfig, build_config, parse_override, read_config_file
from spaces.errors import ConfigError
from spaces.plan import QuantizationChoice

BUDGET = {"budget": 0.1}


def message(call, *arguments):
    """Return what the ConfigError of a call says, which is always one line."""
    with pytest.raises(ConfigError) as caught:
        call(*arguments)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    return text


def refusal(settings):
    return message(build_config, settings, [], {})


def test_the_budget_is_all_that_has_to_be_given():
    config = build_config({}, [], BUDGET)
    assert config.budget == 0.1
    assert config == RunConfig(budget=0.1)


def test_without_a_budget_one_is_asked_for():
    assert "budget is missing" in refusal({})


@pytest.mark.parametrize("budget", [0, 0.0, "0.1", 0.999, "1e-2"])
def test_budgets_from_0_to_below_1(budget):
    assert build_config({"budget": budget}, [], {}).budget == float(budget)


@pytest.mark.parametrize(
    "budget",
    [-1, "-1", "abc", "", "nan", float("nan"), "inf", float("inf"), 1, 1.5, "1.5", None, [0.1]],
)
def test_other_budgets_are_refused(budget):
    text = refusal({"budget": budget})
    assert text.startswith(f"budget cannot be {budget!r}: ")
    # What is allowed stands there too.
    assert "0 to below 1" in text


def test_an_unknown_setting_is_refused_and_the_nearest_is_named():
    text = refusal({**BUDGET, "trails": 5})
    assert text.startswith("trails is not a setting")
    assert "did you mean trials?" in text
    assert len(text) < 100


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("trials", 0),
        ("trials", 1.5),
        ("trials", "many"),
        ("seed", -1),
        ("seed", 2**31),
        ("concurrency", 0),
        ("alignment", 0),
        ("max_ratio", 0),
        ("max_ratio", 1),
        ("max_latency_ratio", 0),
        ("max_latency_ratio", float("inf")),
        ("confidence_z", float("inf")),
        ("sensitivity_points", 1),
        ("latency_points", 3),
        ("sampler", "random"),
        ("finetune_samples", 0),
        ("choices", []),
        ("promotion_factor", 1.5),
        ("promotion_factor", 101),
        ("promotion_factor", float("inf")),
        ("choices", 0.5),
        ("confidence_z", -0.1),
        ("threads", 0),
        ("gpus_per_trial", -1),
        ("task_options", "weights"),
    ],
)
def test_a_value_out_of_bounds_is_refused_and_named(name, value):
    assert refusal({**BUDGET, name: value}).startswith(f"{name} cannot be {value!r}: ")


def test_a_value_inside_a_list_is_named():
    text = refusal({**BUDGET, "choices": ["float", "int4"]})
    assert "choices" in text
    assert "'int4'" in text
    assert "int8_ptq" in text


def test_a_setting_whose_name_is_no_string_is_refused():
    """YAML reads `on: 3` as {True: 3} and `1: 3` as {1: 3}."""
    assert "True" in refusal({**BUDGET, **yaml.safe_load("on: 3")})


def test_a_configuration_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        RunConfig(budget=0.1).budget = 0.2


def test_flags_win_over_overrides_and_these_over_the_file():
    file = {"budget": 0.1, "trials": 1, "seed": 1, "threads": 1, "eval_batch": 7}
    overrides = [("trials", 2), ("seed", 2), ("threads", 2), ("threads", 3)]
    config = build_config(file, overrides, {"seed": 3})
    assert (config.eval_batch, config.trials, config.seed) == (7, 2, 3)
    # Of two overrides of a setting the last one counts.
    assert config.threads == 3


def test_a_bad_value_that_is_overridden_does_no_harm():
    assert build_config({"budget": "abc"}, [("budget", 0.2)], {}).budget == 0.2


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("trials=40", "trials", 40),
        ("budget=0.05", "budget", 0.05),
        ("ship=[weights, data]", "ship", ["weights", "data"]),
        ("choices=[float, int8_ptq]", "choices", ["float", "int8_ptq"]),
        ("concurrency=null", "concurrency", None),
        ("out=a=b", "out", "a=b"),
        ("task_options={weights: w.npz}", "task_options", {"weights": "w.npz"}),
        (" trials = 40", "trials", 40),
    ],
)
def test_the_value_of_an_override_is_yaml(text, key, value):
    assert parse_override(text) == (key, value)


@pytest.mark.parametrize("text", ["trials", "=40", "", "ship=[data", "out=*x"])
def test_an_override_that_cannot_be_read_is_named(text):
    assert repr(text) in message(parse_override, text)


def test_an_override_that_looks_like_a_date_is_a_text():
    assert parse_override("out=2026-02-30") == ("out", "2026-02-30")


def test_choices_become_choices():
    config = build_config(BUDGET, [parse_override("choices=[int8_qat]")], {})
    assert config.choices == [QuantizationChoice.INT8_QAT]


def test_a_configuration_file(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("budget: 0.1\nship: [weights, data]\n")
    config = build_config(read_config_file(path), [], {})
    assert (config.budget, config.ship) == (0.1, ["weights", "data"])


def test_an_empty_configuration_file_sets_nothing(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("# nothing yet\n")
    assert read_config_file(path) == {}


@pytest.mark.parametrize(
    "content", [b"budget: [0.1\nseed: 3\n", b"- budget\n", b"0.1", b"\xff\xfe"]
)
def test_a_file_that_is_no_mapping_is_named(tmp_path, content):
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    assert str(path) in message(read_config_file, path)


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    path = tmp_path / "none.yaml"
    assert str(path) in message(read_config_file, path)
    assert str(tmp_path) in message(read_config_file, tmp_path)


def test_a_configuration_comes_back_from_yaml():
    config = RunConfig(
        budget=0.1, choices=[QuantizationChoice.FLOAT], task_options={"weights": "w"}
    )
    text = yaml.safe_dump(config.model_dump(mode="json"))
    assert build_config(yaml.safe_load(text), [], {}) == config


def test_every_setting_is_explained():
    """The messages quote the first sentence, so it has to be on one line."""
    for name, field in RunConfig.model_fields.items():
        assert field.description, name
        assert "\n" not in field.description.split(".")[0], name


def test_a_deadline_is_a_time_with_its_unit_and_stays_one_in_a_file():
    config = build_config({**BUDGET, "within": "1h30m"}, [], {})
    assert config.within == 5400
    dumped = config.model_dump(mode="json")
    assert dumped["within"] == "1h30m"
    assert build_config(yaml.safe_load(yaml.safe_dump(dumped)), [], {}) == config


@pytest.mark.parametrize("value", [30, "30", "soon", True, ["30m"], "0s"])
def test_other_deadlines_are_refused(value):
    text = refusal({**BUDGET, "within": value})
    assert text.startswith("within cannot be ")
    assert "such as 90s, 30m or 1h30m" in text and "-o within=VALUE" in text


def test_with_a_deadline_the_number_of_plans_is_only_bounded():
    assert build_config(BUDGET, [], {"within": "5m"}).trials == MOST_PLANS
    assert build_config(BUDGET, [], {"within": "5m", "trials": 7}).trials == 7
    assert build_config(BUDGET, [], {}).trials == 24
