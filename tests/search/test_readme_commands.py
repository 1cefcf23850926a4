"""Commands of the guides as they are printed, from a folder of one's own, each to its end."""

import contextlib
import io
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from search.records.run_folder import delivered_plan
from search.records.tables import Store
from tests.helpers.printed import PAGES
from tests.helpers.support import allowed_fall, rows_of
from tests.search.readme import Home, commands, page

pytestmark = pytest.mark.slow

# Pages whose commands other tests run, or none can.
ELSEWHERE = {
    "README": "make run installs an environment, then does what CI does; the toolkit's model is in "
    "test_guide_models.py",
    "own-images": "test_guide_models.py",
    "toolkits": "test_guide_models.py",
    "exported-models": "tests/trainables/tasks/exported/test_task.py, on a model of the tests",
    "cluster": "the tests of clusters",
    "benchmarks": "hours; their parts have tests in tests/benchmarks",
}
HERE = {"first-run", "reading-results", "single-plans", "deploying", "own-model"}
# Examples need models of other tasks, a command that times models a device, make gpu-check a GPU:
# tests/examples, test_engines.py, tests/benchmarks/test_gpu_check.py.
OTHERS = re.compile(r"python -m examples\.|deploy\.py|probe_command|make gpu-check")
# The built-in task, which the commands name by naming none, evaluated on fewer images.
FEW = "mypkg.few:make_task"
# Each tracker starts processes for every trial.
TRIALS = 3


def test_every_command_is_run_here_or_elsewhere():
    assert set(commands()) == HERE | set(ELSEWHERE)


@pytest.fixture(scope="module")
def patch():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def home(workplace, tmp_path_factory, patch):
    """The folder of all commands; each asserts that what it makes was not there before."""
    patch.setenv("RAY_ADDRESS", workplace.address)
    # Where FEW is, as on the workers.
    patch.syspath_prepend(workplace.folder)
    folder = tmp_path_factory.mktemp("readme") / "home"
    folder.mkdir()
    return Home(folder, patch)


@pytest.fixture(scope="module")
def run(home, patch):
    """The first run, ended before the search and continued: the folder RUN."""
    patch.setenv("WANDB_MODE", "offline")
    *_, search, dry_run, resume = page("first-run")
    assert search.partition(" #")[0].strip() == "python -m search.run --budget 0.1"
    assert list(home.folder.iterdir()) == []
    home.settings(
        out="RUN",
        task=FEW,
        trials=TRIALS,
        choices=["float", "int8_ptq"],
        finetune_samples=64,
        batch_size=32,
        latency_batch=4,
        trackers=["tensorboard", "mlflow", "wandb"],
    )
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert home.run(dry_run) == 0
    before, lowest = allowed_fall(said.getvalue())
    assert before > 0.5 and lowest == pytest.approx(0.9 * before, abs=1e-4)
    assert f"{TRIALS} plans of" in said.getvalue()
    assert re.search(r" -m search\.run --resume \S*RUN\b", said.getvalue())
    assert rows_of(home.folder / "RUN", "trials") == 0
    assert not (home.folder / "RUN" / "model").exists()
    assert home.run(resume) == 0
    assert (home.folder / "RUN" / "model" / "inference.pdmodel").is_file()
    return home.folder / "RUN"


def test_each_tracker_has_every_trial_with_what_it_came_to(run):
    trials = pd.read_parquet(run / "trials").set_index("number")
    assert len(trials) == TRIALS
    assert len(list((run / "tensorboard").glob("trial-*"))) == TRIALS
    assert len(list((run / "wandb").glob("offline-run-*"))) == TRIALS
    for number, trial in trials.iterrows():
        (parameter,) = (
            path
            for path in (run / "mlruns").rglob("params/number")
            if path.read_text() == str(number)
        )
        metrics = parameter.parent.parent / "metrics"
        if trial["state"] == "COMPLETE":
            last = (metrics / "metric_loss").read_text().splitlines()[-1].split()[1]
            assert float(last) == pytest.approx(trial["metric_loss"])


def test_looking_at_runs(home, run, capsys):
    shutil.rmtree(run / "report")
    (run / "report.html").unlink()
    report, compare, *selections = page("reading-results")
    assert home.run(report) == 0
    said = capsys.readouterr().out
    assert "delivered:" in said and "{" not in said
    assert (run / "report.html").is_file() and any((run / "report").glob("*.png"))
    assert home.run(compare) == 0
    assert (home.folder / "comparison.html").is_file()
    # The bounds that are printed may be below what any trial of so short a search can keep.
    losses, times = (Store(run).frame("trials")[name] for name in ("metric_loss", "latency_ms"))
    printed = {"latency-ms": (3, times.max()), "budget": (0.02, losses.min())}
    for line, (name, (given, least)) in zip(selections, printed.items(), strict=True):
        bound = given if least <= given else np.ceil(110 * least) / 100
        assert f"-{name} {given} " in line
        assert home.run(line.replace(f"{name} {given} ", f"{name} {bound} ")) == 0
        assert delivered_plan(run / "selections" / f"{name}-{bound:g}")


def test_what_can_be_done_with_a_run(home, run, capsys):
    reexport, onnx, timing = (line for line in page("deploying") if not OTHERS.search(line))
    complete = Store(run).frame("trials").query("state == 'COMPLETE'").number
    # The number is of one's own run.
    assert home.run(reexport.replace("RUN 7", f"RUN {complete.max()}")) == 0
    assert (run / f"trial-{complete.max()}" / "inference.pdmodel").is_file()
    assert home.run(onnx) == 0
    assert (run / "model.onnx").is_file()
    capsys.readouterr()
    assert home.run(timing) == 0
    said = capsys.readouterr()
    assert "of 50 runs after 10:" in said.out and said.err == ""


def test_an_example_on_a_run(home, run, capsys):
    """The other examples need models of other tasks: tests/examples."""
    Image.new("L", (40, 40), 200).save(home.folder / "photo.png")
    (line,) = (line for line in page("deploying") if "classify" in line)
    assert home.run(line.replace("IMAGE", "photo.png")) == 0
    classes = capsys.readouterr().out
    assert classes.startswith("class ")
    (line,) = (line for line in page("deploying") if "deploy.py" in line)
    assert home.run(line.replace("IMAGE", "photo.png")) == 0
    first, *likeliest = capsys.readouterr().out.splitlines()
    assert first == "output 1 10"
    order = [line.partition(":")[0] for line in classes.splitlines()]
    assert [line.partition(":")[0] for line in likeliest] == order


def test_plans_without_a_search(home):
    for number, line in enumerate(page("single-plans")):
        out = home.folder / f"applied-{number}"
        # Of 500 steps a sample each: the steps are on the command line.
        home.settings(out=out.name, task=FEW, batch_size=1, finetune_samples=32, latency_batch=4)
        assert home.run(line) == 0, line
        way = line.split()[3]
        if way == "sensitivities":
            assert (out / "sensitivities.json").is_file()
        elif way != "groups":
            assert delivered_plan(out)
            outcome = json.loads((out / "outcome.json").read_text())
            assert outcome["way"] == way
            kept = outcome["plan"].get("float_layers", [])
            assert bool(kept) or "--float-layers" not in line
            assert all(outcome["val"]["layers"][layer] == "float" for layer in kept)
            assert (out / "layers.json").is_file() == ("--auto" in line)


def test_your_own_model(home, capsys):
    import paddle
    from paddle.vision.models import LeNet

    text = PAGES["own-model"].read_text()
    (code,) = re.findall(r"<!-- tested: own model -->\n```python\n(.*?)```", text, re.DOTALL)
    (home.folder / "mine.py").write_text(code)
    rng = np.random.default_rng(0)
    prototypes, arrays = rng.standard_normal((10, 1, 28, 28)), {}
    for split, count in (("train", 256), ("val", 60), ("test", 60)):
        labels = rng.integers(0, 10, count)
        noise = 0.5 * rng.standard_normal((count, 1, 28, 28))
        arrays[f"{split}_x"] = (prototypes[labels] + noise).astype("float32")
        arrays[f"{split}_y"] = labels
    np.savez(home.folder / "d.npz", **arrays)
    paddle.seed(0)
    model = LeNet()
    optimizer = paddle.optimizer.Adam(2e-3, parameters=model.parameters())
    for _ in range(5):
        for start in range(0, 256, 32):
            inputs, labels = (arrays[f"train_{k}"][start : start + 32] for k in "xy")
            outputs = model(paddle.to_tensor(inputs))
            paddle.nn.functional.cross_entropy(outputs, paddle.to_tensor(labels)).backward()
            optimizer.step()
            optimizer.clear_grad()
    paddle.save(model.state_dict(), str(home.folder / "w.pdparams"))
    home.settings(out="mine", finetune_samples=320, batch_size=32)
    check, search = page("own-model")
    assert home.run(check) == 0
    assert "the task meets the contract" in capsys.readouterr().out
    assert home.run(search) == 0
    assert (home.folder / "mine" / "model" / "inference.pdmodel").is_file()
