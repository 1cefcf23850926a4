"""Whole searches on engines other than the default."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from examples.deployed import Deployed
from search.records.manifest import Manifest
from tests.helpers.support import QUICK, TINY
from trainables.deployment.engines.registry import LISTINGS, runtime
from trainables.deployment.exported import size_bytes

pytestmark = pytest.mark.slow

OTHERS = [kind for kind, listing in LISTINGS.items() if listing.packages]
# Plans are trained in full by their trials: the retrain exports and evaluates as they do.
IN_FULL = {
    "retrain_samples": QUICK["finetune_samples"],
    "retrain_qat_samples": QUICK["qat_samples"],
}


def deploy_alone(run, pixels, folder):
    """Run deploy.py on an image, with nothing but the delivered folder; return its classes."""
    delivered, image = folder / f"{run.name}-delivered", folder / "image.png"
    shutil.copytree(run / "model", delivered / "model")
    shutil.copy(run / "manifest.json", delivered)
    Image.fromarray(pixels[..., 0]).save(image)
    ended = subprocess.run(
        [sys.executable, "-I", delivered / "model" / "deploy.py", image],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    first, *classes = ended.stdout.splitlines()
    assert first == "output 1 10"
    return classes


def likeliest(outputs):
    return np.argsort(-outputs[0])[:5]


def check_layers(run, said):
    """What INT8 hurts is in float in the delivered model, and the run says so."""
    assert "mixtures of INT8 and float, by layers in float: 1" in said
    assert "in float beside INT8: conv2" in said
    plan = json.loads((run / "plan.json").read_text())
    assert (plan["quantization"], plan["float_layers"]) == ("int8_ptq", ["conv2"])
    told = json.loads((run / "manifest.json").read_text())["float_layers"]
    assert told == {"names": ["conv2"], "precision": "float"}
    assert "What INT8 costs in each layer" in (run / "report.html").read_text()


@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_delivered_is_what_the_engine_ran(kind, workplace, monkeypatch):
    pytest.importorskip(kind)
    run = workplace.folder / f"on-{kind}"
    # On one of the engines, a model that INT8 hurts in one layer; in float that still reads rounded
    # values.
    uneven = kind == OTHERS[0]
    budget = 0.4 if uneven else 0.15
    ended = workplace.run(
        *("--budget", str(budget)),
        *workplace.task("make_uneven" if uneven else "make_task"),
        *("--trials", "2", "--out", str(run)),
        engine=kind,
        **IN_FULL,
        **({"choices": "[int8_ptq]", "layer_precision": True} if uneven else {}),
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    if uneven:
        check_layers(run, ended.stdout)
    manifest = Manifest.model_validate_json((run / "manifest.json").read_text())
    assert manifest.latency_ms.engine == kind
    assert manifest.metric.loss_val <= budget
    gained = manifest.speedup
    assert gained.by_compression == pytest.approx(1 / manifest.latency_ms.ratio)
    assert gained.together == pytest.approx(gained.by_engine * gained.by_compression)
    times = {
        t["engine"]: t["latency_ms"] for t in json.loads((run / "stages/engines.json").read_text())
    }
    assert gained.by_engine == pytest.approx(times["onednn"] / times[kind])
    assert manifest.versions[kind].count(".") == 2
    assert {f"model/{name}" for name in manifest.engine_files} <= {*manifest.sha256}
    assert manifest.size_bytes.winner == size_bytes(run / "model", manifest.engine_files)
    # Someone with the delivered folder alone gets what was evaluated.
    plan = json.loads((run / "plan.json").read_text())
    precision = {"float": "float", "bfloat16": "bfloat16"}.get(plan["quantization"], "int8")
    pixels = np.random.default_rng(0).integers(0, 255, (14, 14, 1), dtype=np.uint8)
    deployed = Deployed(run)
    (expected,) = runtime(kind).load(run / "model", precision, 1).run([deployed.preprocess(pixels)])
    np.testing.assert_array_equal(deployed(pixels)[0], expected)
    said = deploy_alone(run, pixels, workplace.folder)
    assert said == [f"class {label}: {expected[0, label]:.4g}" for label in likeliest(expected)]
    assert "model/deploy.py" in manifest.sha256
    for module, *arguments in (
        ("search.timing", str(run), "--runs", "3"),
        ("search.reexport", str(run), "0"),
    ):
        ended = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=workplace.folder,
            env=workplace.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, (module, ended.stderr)


def test_a_command_times_what_a_local_engine_evaluates(workplace):
    pytest.importorskip("openvino")
    run, device = workplace.folder / "on-command", TINY / "device.py"
    arguments = ("--budget", "0.15", *workplace.task(), "--trials", "2", "--out", str(run))
    settings = {
        "engine": "command",
        "probe_command": f"{sys.executable} {device} {{model}} {{batch}}",
        "choices": "[float]",
        **IN_FULL,
    }
    ended = workplace.run(*arguments, **settings)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    manifest = Manifest.model_validate_json((run / "manifest.json").read_text())
    assert manifest.latency_ms.engine == "command"
    assert manifest.evaluated_on == "paddle_inference_onednn"
    assert manifest.latency_ms.winner > 0
    pixels = np.random.default_rng(0).integers(0, 255, (14, 14, 1), dtype=np.uint8)
    deployed = Deployed(run)
    (expected,) = (
        runtime("onednn").load(run / "model", "float", 1).run([deployed.preprocess(pixels)])
    )
    np.testing.assert_array_equal(deployed(pixels)[0], expected)
    said = deploy_alone(run, pixels, workplace.folder)
    assert said == [f"class {label}: {expected[0, label]:.4g}" for label in likeliest(expected)]


def test_a_command_that_fails_ends_the_run_in_its_first_stage(workplace):
    run, failing = workplace.folder / "on-nothing", workplace.folder / "failing.py"
    failing.write_text("raise SystemExit('no board')")
    arguments = ("--budget", "0.15", *workplace.task(), "--trials", "2", "--out", str(run))
    command = f"{sys.executable} {failing} {{model}}"
    ended = workplace.run(*arguments, engine="command", probe_command=command)
    assert ended.returncode == 2, ended.stdout + ended.stderr
    assert ended.stderr.strip().splitlines()[-1].endswith("exit status 1, no board")
    # Nothing of it is left, so that the command can be given again.
    assert [path.name for path in run.glob("[!.]*")] == []
