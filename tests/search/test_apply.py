"""Plans without a search: real Ray, real Paddle, the command line, on the tiny task."""

import json

import pytest

from search.apply import build_parser, main, settings_from
from search.cli.apply_plan import layer_lines, removed_lines
from search.cli.plan_choices import Ground
from search.config import RunConfig
from search.records.search_space import build_space
from spaces.plan import Plan, QuantizationChoice
from tests.search.made_run import baseline
from trainables.deployment.engines.paddle_inference import PaddleEngine

APPLY = "search.apply"


def configured(*arguments):
    return settings_from(build_parser().parse_args(arguments))


def test_training_is_given_in_steps_as_the_toolkits_do():
    config = configured(
        *("uniform", "--ratio", "0.3", "--iters", "100", "--batch-size", "8"),
        *("--learning-rate", "0.002"),
    )
    assert (config.finetune_steps, config.batch_size, config.learning_rate) == (100, 8, 0.002)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["uniform", "--ratio", "1.5"], "1.5 is not 0 to below 1"),
        (["uniform"], "--ratio"),
        (["shrink"], "'shrink'"),
        (["uniform", "--ratio", "0.3", "--task", "imagenet"], "'imagenet'"),
        (["quantize", "--quantization", "int4"], "'int4'"),
        (["quantize", "-o", "calibration=guess"], "'guess'"),
        (
            ["quantize", "--quantization", "bfloat16", "--float-layers", "conv1"],
            "bfloat16 has one precision for all layers; give --quantization int8_ptq",
        ),
        (["quantize", "--auto"], "--auto: needs the loss that is allowed"),
        (["quantize", "--budget", "0.1"], "--budget: only --auto keeps one"),
        (["quantize", "--auto", "--budget", "2"], "2 is not 0 to below 1"),
        (["quantize", "--auto", "--budget", "0", "--float-layers", "a"], "--auto: chooses"),
        (["quantize", "--auto", "--budget", "0", "--quantization", "float"], "omit --quant"),
        (["uniform", "--ratio", "0.3", "--iters", "0"], "greater than or equal to 1"),
    ],
)
def test_mistakes_are_one_line(arguments, said, capsys):
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line


def test_a_folder_that_holds_something_is_not_written_to(tmp_path, capsys):
    (tmp_path / "mine.txt").touch()
    assert main(["quantize", "--out", str(tmp_path)]) == 2
    assert "is not empty (mine.txt is there); name another with --out" in capsys.readouterr().err


@pytest.mark.slow
def test_groups_are_listed_with_what_shrinks_with_them(workplace):
    ended = workplace.run("groups", *workplace.task(), module=APPLY)
    assert ended.returncode == 0, ended.stderr
    assert "conv1.weight: 16 channels" in ended.stdout
    assert "    conv2.weight [32, 16, 3, 3]" in ended.stdout
    assert "2 groups, 0 branches, 0 excluded" in ended.stdout


@pytest.mark.slow
def test_plans_are_trained_quantized_and_exported(workplace):
    """A FLOPs target by sensitivity, then INT8 of scales so bad that not all layers stay in it."""
    out = workplace.folder / "applied"
    ended = workplace.run(
        *("flops", "--removed", "0.3", "--skip-first", "1", "--sensitive", "1"),
        *("--quantization", "int8_ptq", "--out", str(out), *workplace.task()),
        module=APPLY,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    outcome = json.loads((out / "outcome.json").read_text())
    assert outcome["plan"]["quantization"] == "int8_ptq"
    assert set(outcome["plan"]["ratios"]) == {"conv2.weight"}
    assert outcome["val"]["state"] == "COMPLETE"
    assert 0 < outcome["test"]["winner_test"] <= 1
    assert outcome["test"]["size_bytes"]["winner"] < outcome["test"]["size_bytes"]["baseline"]
    PaddleEngine(out / "model", "int8", 1)
    # It is no study, so none can be carried on.
    resumed = workplace.run("--resume", str(out))
    assert resumed.returncode == 2 and "holds no run" in resumed.stderr

    out = workplace.folder / "mixed"
    scales = ("-o", "calibration=KL", "-o", "calibration_samples=4")
    ended = workplace.run(
        *("quantize", "--auto", "--budget", "0", "--out", str(out), *scales),
        *workplace.task(),
        module=APPLY,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    mixture, outcome = (json.loads((out / f"{n}.json").read_text()) for n in ("layers", "outcome"))
    assert mixture["loss"] > 0
    assert {cost["layer"] for cost in mixture["costs"]} == {"conv1", "conv2", "head"}
    assert sorted(mixture["order"]) == ["conv1", "conv2", "head"]
    assert outcome["plan"] == mixture["plan"]
    kept = outcome["plan"].get("float_layers", [])
    assert not kept or outcome["val"]["metric_loss"] <= 0
    assert all(outcome["val"]["layers"][layer] == "float" for layer in kept)
    assert "of 3 layers in float" in ended.stdout


def test_what_each_layer_runs_in_is_said():
    plan = Plan.of({}, QuantizationChoice.INT8_PTQ, ["a", "b"])
    assert layer_lines(plan, {"a": "float", "b": "float", "c": "int8"}) == [
        "in int8: 1 of 3 layers",
        "in float: 2 of 3 layers: a, b",
    ]
    missed = layer_lines(plan, {"a": "float", "b": "int8", "c": "int8"})
    assert missed[-1] == "the engine quantizes b all the same"


def test_what_a_plan_removes_is_said():
    found = baseline()
    ground = Ground(build_space(RunConfig(budget=0.1), found), found.layers, dict, print)
    half = {"head.weight": 0.5, "stem.conv.weight": 0.25}
    lines = removed_lines(Plan.of(half, QuantizationChoice.FLOAT), ground)
    assert lines[0].startswith("removed: 56 of 192 channels, which leaves ")
    assert lines[1:] == ["  head.weight: 48 of 96", "  stem.conv.weight: 8 of 32"]
    assert removed_lines(Plan(), ground) == ["nothing is removed"]
