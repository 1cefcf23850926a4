"""What can be done with a finished run: real Ray, real Paddle, the command line, the tiny task."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from search.run_folder import RunFolder
from trainables.engine import Engine

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(whole_run, tmp_path_factory):
    """A copy: what is done with it here must not disturb who looks at the run itself."""
    run, _ = whole_run
    return Path(shutil.copytree(run, tmp_path_factory.mktemp("afterwards") / "run"))


def test_an_onnx_file_beside_the_model(workplace, finished):
    onnxruntime = pytest.importorskip("onnxruntime")
    ended = workplace.tool("search.to_onnx", str(finished))
    assert ended.returncode == 0, ended.stderr
    session = onnxruntime.InferenceSession(
        str(finished / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    image = np.random.default_rng(0).standard_normal((3, 1, 14, 14)).astype("float32")
    (outputs,) = session.run(None, {"image": image})
    (wanted,) = Engine(finished / "model", None, 1).run([image])
    assert np.argmax(outputs, 1).tolist() == np.argmax(wanted, 1).tolist()


def test_the_toolkits_protocol_of_timing(workplace, finished):
    ended = workplace.tool("search.timing", str(finished), "--runs", "5", "--batch", "4")
    assert ended.returncode == 0, ended.stderr
    assert "mean of 5 runs after 10, batch 4, 1 threads" in ended.stdout


def test_a_trial_is_exported_anew(workplace, finished):
    baseline = RunFolder(finished).stage("baseline")
    winner = RunFolder(finished).stage("retrain")["trial"]
    ended = workplace.tool("search.reexport", str(finished), str(winner))
    assert ended.returncode == 0, ended.stderr
    model = finished / f"trial-{winner}"
    assert (model / "inference.pdmodel").is_file()
    assert f"{baseline['metric_name']} {baseline['metric']:.4f}" in ended.stdout
    # As it was exported in the search.
    candidate = finished / "candidates" / f"{winner:06d}" / "inference.pdiparams"
    assert (model / "inference.pdiparams").stat().st_size == candidate.stat().st_size
    again = workplace.tool("search.reexport", str(finished), str(winner))
    assert again.returncode == 2 and "exists already" in again.stderr
    shutil.rmtree(model)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("search.reexport", "RUN", "99"), "trial 99 has not gone to its end"),
        (("search.to_onnx", "EMPTY"), "holds no delivered model"),
        (("search.timing", "EMPTY"), "holds no delivered model"),
    ],
)
def test_mistakes_are_one_line(workplace, finished, tmp_path, arguments, said):
    places = {"RUN": str(finished), "EMPTY": str(tmp_path)}
    ended = workplace.tool(*(places.get(argument, argument) for argument in arguments))
    assert ended.returncode == 2
    assert said in ended.stderr and "Traceback" not in ended.stderr


def test_the_manifest_says_how_pixels_come_in(finished):
    manifest = json.loads((finished / "manifest.json").read_text())
    assert manifest["input"]["channel_order"] == "RGB"
