"""What can be done with a finished run: real Ray, real Paddle, the command line, the tiny task."""

import hashlib
import importlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from clusters.files import SharedFiles
from clusters.storage import Storage
from search.records.ledger import Ledger
from search.records.manifest import Manifest
from search.records.prospects import Prospects
from search.records.run_folder import RunFolder, read_config
from search.records.search_space import build_space
from search.records.tables import Store
from tests.helpers.support import QUICK
from trainables.deployment.engines.paddle_inference import PaddleEngine
from trainables.settings import candidate_name

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(whole_run, tmp_path_factory):
    """A copy: what is done with it here must not disturb who looks at the run itself."""
    run, _ = whole_run
    return Path(shutil.copytree(run, tmp_path_factory.mktemp("afterwards") / "run"))


def candidate_of(run, number):
    """Return the folder of a trial's model after its last level, in the run's."""
    trials = Store(run).frame("trials").set_index("number")
    return candidate_name(number, int(trials.level[number]))


def prospects_of(run):
    config, baseline = read_config(run), RunFolder(run).stage("baseline")
    groups = build_space(config, baseline).groups
    return Prospects(Ledger.of_run(Store(run), config, groups, baseline))


@dataclass
class Ended:
    """A command's exit status, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def tool(workplace, monkeypatch, capsys):
    """Run a command to its end, in this process: another one imports for seconds."""
    monkeypatch.chdir(workplace.folder)
    monkeypatch.syspath_prepend(str(workplace.folder))
    monkeypatch.setenv("RAY_ADDRESS", workplace.address)
    monkeypatch.setenv("COLUMNS", "200")

    def run(module, *arguments):
        capsys.readouterr()
        status = importlib.import_module(module).main(arguments)
        return Ended(status, *capsys.readouterr())

    return run


def test_an_onnx_file_beside_the_model(tool, finished):
    onnxruntime = pytest.importorskip("onnxruntime")
    ended = tool("search.to_onnx", str(finished))
    assert ended.returncode == 0, ended.stderr
    session = onnxruntime.InferenceSession(
        str(finished / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    image = np.random.default_rng(0).standard_normal((3, 1, 14, 14)).astype("float32")
    (outputs,) = session.run(None, {"image": image})
    (wanted,) = PaddleEngine(finished / "model", None, 1).run([image])
    # Of noise two classes may be as likely, and in INT8 a rounding decides.
    assert np.sqrt(((outputs - wanted) ** 2).mean()) <= 0.1 * wanted.std()


def test_the_toolkits_protocol_of_timing(tool, finished):
    ended = tool("search.timing", str(finished), "--runs", "5", "--batch", "4")
    assert ended.returncode == 0, ended.stderr
    title, *lines = ended.stdout.splitlines()
    assert title == "mean (± standard deviation) of 5 runs after 10:"
    line = r"%s, 1 thread: [\d.]+ \(± [\d.]+\) to [\d.]+ \(± [\d.]+\) ms, [\d.]+x faster"
    assert [bool(re.fullmatch(line % "batches of 4", text)) for text in lines] == [True]
    # The run's own batch, and single samples.
    ended = tool("search.timing", str(finished), "--runs", "5", "--warmup", "0")
    one, own = ended.stdout.splitlines()[1:]
    assert re.fullmatch(line % "batches of 1", one)
    assert re.fullmatch(line % f"batches of {QUICK['latency_batch']}", own)


def test_a_trial_is_exported_anew(tool, finished):
    baseline = RunFolder(finished).stage("baseline")
    winner = RunFolder(finished).stage("retrain").trial
    ended = tool("search.reexport", str(finished), str(winner))
    assert ended.returncode == 0, ended.stderr
    model = finished / f"trial-{winner}"
    assert (model / "inference.pdmodel").is_file()
    assert f"{baseline.metric_name} {baseline.metric:.4f}" in ended.stdout
    # As it was exported in the search.
    candidate = finished / candidate_of(finished, winner) / "inference.pdiparams"
    assert (model / "inference.pdiparams").stat().st_size == candidate.stat().st_size
    again = tool("search.reexport", str(finished), str(winner))
    assert again.returncode == 2 and "already exists" in again.stderr
    shutil.rmtree(model)


def test_a_run_on_storage_is_named_by_its_uri(tool, finished, tmp_path):
    """As a run with --storage leaves it: the models are fetched from there."""
    uri = f"{tmp_path.as_uri()}/my%20runs/it"
    storage, files = Storage(uri), SharedFiles(uri)
    storage.create()
    winner = RunFolder(finished).stage("retrain").trial
    models = ("model", "baseline", candidate_of(finished, winner))
    for path in finished.rglob("*"):
        name = path.relative_to(finished).as_posix()
        if path.is_file() and not path.name.startswith(".") and not name.startswith(models):
            storage.write(name, path.read_bytes())
    for name in models:
        files.upload(finished, name)
    ended = tool("search.timing", uri, "--runs", "5")
    assert ended.returncode == 0, ended.stderr
    ended = tool("search.reexport", uri, str(winner), "--out", str(tmp_path / "model"))
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "model" / "inference.pdmodel").is_file()
    # A file that is not the one that was delivered is not timed.
    storage.write("model/inference.pdiparams", b"another")
    storage.write("model/.kept", b"kept again")
    ended = tool("search.timing", uri)
    assert ended.returncode == 2
    assert "model/inference.pdiparams is not the file that was delivered" in ended.stderr


def test_another_point_of_the_front_is_delivered_beside_the_first(tool, finished):
    baseline = RunFolder(finished).stage("baseline")
    trials = Store(finished).frame("trials").query("state in ('PAUSED', 'COMPLETE')")
    # Slow enough for all, whatever else the machine did: the one that will lose least.
    bound = 1000 * baseline.latency_ms
    candidates = prospects_of(finished).candidates()
    losses, _ = prospects_of(finished).predicted(candidates)
    least = candidates[int(np.argmin(losses))]
    ended = tool("search.select", str(finished), "--max-latency-ms", f"{bound:.6g}")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    chosen = finished / "selections" / f"latency-ms-{bound:g}"
    plan = json.loads((chosen / "plan.json").read_text())
    assert plan in list(trials["plan"].map(json.loads))
    manifest = Manifest.model_validate_json((chosen / "manifest.json").read_text())
    assert manifest.retrained[0].trial == least.number
    assert manifest.metric.loss_val <= manifest.budget
    for name, digest in manifest.sha256.items():
        assert hashlib.sha256((chosen / name).read_bytes()).hexdigest() == digest
    # What is done with a run can be done with it.
    ended = tool("search.timing", str(chosen), "--runs", "5", "--batch", "4")
    assert ended.returncode == 0, ended.stderr
    again = tool("search.select", str(finished), "--max-latency-ms", f"{bound:.6g}")
    assert again.returncode == 2 and "already" in again.stderr


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("search.reexport", "RUN", "99"), "trial 99 has no model"),
        (("search.to_onnx", "EMPTY"), "holds no delivered model"),
        (("search.timing", "EMPTY"), "holds no delivered model"),
    ],
)
def test_mistakes_are_one_line(tool, finished, tmp_path, arguments, said):
    places = {"RUN": str(finished), "EMPTY": str(tmp_path)}
    ended = tool(*(places.get(argument, argument) for argument in arguments))
    assert ended.returncode == 2
    assert said in ended.stderr and "Traceback" not in ended.stderr


def test_the_manifest_says_how_pixels_come_in(finished):
    manifest = json.loads((finished / "manifest.json").read_text())
    assert manifest["input"]["channel_order"] == "RGB"
