"""The command that sees files through to delivered models, on a file of the same form."""

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from benchmarks.sweep.named import delivery
from benchmarks.sweep.named.__main__ import known_rows, row_file
from benchmarks.sweep.named.files import NAMED, Learning, Named
from benchmarks.sweep.named.rows import NamedRow, read_rows, table, write_rows
from benchmarks.sweep.named.steps import LIMITS, in_child, known_weights, run_steps
from benchmarks.sweep.painting import Amount
from benchmarks.sweep.summary import page
from search.records.manifest import digests
from tests.benchmarks.sweep.test_sweep import CLASSIFIER
from tests.search.made_run import MANIFEST, baseline
from trainables.files.codec import encode
from trainables.results import Baseline

FILE = "ppcls/configs/quick_start/own.yaml"
OWN = Named(
    "PaddleClas",
    FILE,
    {"image_size": 32},
    Amount(32, 16, 48, 48),
    Learning(steps=96, batch=8, rate=0.05, goal=0.3),
    {"finetune_samples": 16, "retrain_samples": 16, "batch_size": 8},
    "tests/x.py::test_y",
)


@pytest.fixture
def checkouts(tmp_path):
    file = tmp_path / "PaddleClas" / FILE
    file.parent.mkdir(parents=True)
    file.write_text(CLASSIFIER % "ShuffleNetV2_x0_25")
    return tmp_path


@pytest.mark.slow
def test_weights_are_learned_once_and_the_contract_is_checked(checkouts, tmp_path):
    folder = tmp_path / "work"
    assert run_steps(OWN, checkouts, folder, LIMITS, "learn") is None
    (learned,) = json.loads((folder / "learned.json").read_text()).values()
    assert learned["metric"] > learned["chance"] == 0.25 and learned["reached"]
    before = (folder / delivery.WEIGHTS).stat().st_mtime_ns
    assert run_steps(OWN, checkouts, folder, LIMITS, "check") is None
    assert json.loads((folder / "checked.json").read_text()) == {"found": []}
    assert (folder / delivery.WEIGHTS).stat().st_mtime_ns == before


def test_a_training_begins_with_its_own_weights_or_with_those_of_another_file(tmp_path):
    begun = replace(OWN, learning=replace(OWN.learning, begin="ppcls/configs/other.yaml"))
    folder, other = tmp_path / OWN.key, tmp_path / "PaddleClas__ppcls__configs__other.yaml"
    for each in (folder, other):
        each.mkdir()
    assert known_weights(begun, folder) is None
    (other / delivery.WEIGHTS).touch()
    assert known_weights(begun, folder) is None  # its training has not ended
    (other / "learned.json").touch()
    assert known_weights(begun, folder) == other / delivery.WEIGHTS
    assert known_weights(OWN, folder) is None
    (folder / delivery.WEIGHTS).touch()  # left by a training that was interrupted
    assert known_weights(begun, folder) == known_weights(OWN, folder) == folder / delivery.WEIGHTS


def dies():
    os.kill(os.getpid(), signal.SIGKILL)


def hangs():
    time.sleep(600)


def raises():
    raise ValueError("no such thing")


def finds():
    return {"here": str(Path.cwd())}


def test_a_step_that_dies_hangs_or_raises_is_said_and_tried_again(tmp_path):
    for work, limit_s, said in (
        (dies, 600, "dies: ended with -9"),
        (hangs, 1, "longer than 1 s"),
        (raises, 600, "no such"),
    ):
        with pytest.raises(RuntimeError, match=said):
            in_child(work, tmp_path, "left.json", limit_s)
        assert not (tmp_path / "left.json").exists()
    assert in_child(finds, tmp_path, "left.json", 600) == {"here": str(tmp_path)}
    # What a step has left is not made again.
    assert in_child(dies, tmp_path, "left.json", 600) == {"here": str(tmp_path)}


@pytest.fixture
def finished(tmp_path):
    """Return a folder with what a search and an apply leave, of made-up figures."""
    for name in (delivery.RUN, delivery.APPLIED):
        file = tmp_path / name / delivery.BASELINE
        file.parent.mkdir(parents=True)
        file.write_text(encode(Baseline, baseline()))
    run = tmp_path / delivery.RUN
    (run / "model").mkdir()
    (run / "model" / "inference.pdmodel").write_bytes(b"model")
    manifest = {
        **MANIFEST,
        "budget": 0.1,
        "trials": {"finished": 3},
        "sha256": digests(run, [run / "model" / "inference.pdmodel"]),
    }
    (run / delivery.MANIFEST).write_text(json.dumps(manifest))
    outcome = {
        "val": {"metric": 0.8, "metric_loss": 0.1},
        "test": {
            "baseline_test": 0.9,
            "winner_test": 0.7,
            "metric_loss_test": 0.2,
            "latency": {"ratio": 0.5},
            "size_bytes": {"baseline": 400, "winner": 100},
        },
    }
    (tmp_path / delivery.APPLIED / "outcome.json").write_text(json.dumps(outcome))
    return tmp_path


def test_a_rows_figures_are_those_of_the_manifest_or_of_the_outcome(finished):
    row = NamedRow("PaddleClas", FILE, chance=0.25, seconds={"learn": 1.0, "deliver": 2.0})
    found = replace(row, **delivery.of_search(finished))
    assert (found.groups, found.excluded, found.trials, found.how) == (3, 1, 3, "search")
    applied = replace(row, **delivery.of_apply(finished))
    assert (applied.baseline_val, applied.delivered_test, applied.size_ratio) == (0.9, 0.7, 0.25)
    text = page([]) + table([found, replace(applied, failed=("search.run took too long",))])
    assert (
        "| PaddleClas: own.yaml | 3 (1) | 0 | top1_accuracy 0.900 (0.250) | search, 3 trials "
        "| 0.850 | 0.790 | +5.6% | 5.0x | 5.0x | 3 |" in text
    )
    assert "| apply | 0.800 | 0.700 | +10.0% | 2.0x | 4.0x | 3 |" in text
    assert f"- {FILE}: search.run took too long" in text
    assert table([]) == ""


def test_a_run_that_is_older_than_branches_has_no_number_of_them(finished):
    file = finished / delivery.RUN / delivery.BASELINE
    known = json.loads(file.read_text())
    del known["branches"]
    file.write_text(json.dumps(known))
    old = replace(NamedRow("PaddleClas", FILE), **delivery.of_search(finished))
    assert old.branches is None and "| 3 (1) | - | top1_accuracy" in table([old])


def test_a_changed_file_is_not_the_manifests(finished):
    run = finished / delivery.RUN
    assert delivery.digests_hold(run)
    (run / "model" / "inference.pdmodel").write_bytes(b"another")
    assert not delivery.digests_hold(run)


def test_commands_read_the_settings_and_late_ones_are_interrupted(tmp_path):
    delivery.write_settings(tmp_path, OWN)
    settings = yaml.safe_load((tmp_path / "slimsearch.yaml").read_text())
    assert (settings["budget"], settings["finetune_samples"]) == (0.1, 16)
    late = delivery.command(tmp_path, ["http.server", "0"], 0.5)
    assert late.status is None and delivery.outcome(late) == "took too long"
    wrong = delivery.command(tmp_path, ["search.run", "--task", "nothing"], 600)
    assert wrong.status == 2 and "nothing" in delivery.outcome(wrong)


def test_rows_are_read_again_and_every_file_has_one_place(tmp_path):
    rows = [NamedRow("PaddleSeg", named.file, unmet=("loss: no",)) for named in NAMED[:2]]
    write_rows(rows, tmp_path / "rows.json")
    assert read_rows(tmp_path / "rows.json") == rows and read_rows(tmp_path / "none.json") == []
    assert len({named.key for named in NAMED}) == len(NAMED)
    file = row_file(tmp_path, NAMED[1].key)
    file.parent.mkdir()
    file.write_text(json.dumps(rows[1].to_json()))
    assert known_rows(tmp_path) == rows[1:]


def test_a_training_begins_with_what_another_network_has_alike(tmp_path):
    from paddle import nn

    from benchmarks.sweep.named.learning import begin_with
    from trainables.weights import model_weights, write_weights

    known, own = (nn.Sequential(nn.Linear(3, 4), nn.Linear(4, n)) for n in (2, 5))
    write_weights(tmp_path / "known.safetensors", model_weights(known))
    before = model_weights(own)
    assert begin_with(own, tmp_path / "known.safetensors") == 2
    after = model_weights(own)
    assert (after["0.weight"] == model_weights(known)["0.weight"]).all()
    assert (after["1.weight"] == before["1.weight"]).all()


@pytest.mark.parametrize("test", sorted({named.tensor for named in NAMED}))
def test_the_test_of_each_input_tensor_is_there(test):
    file, _, name = test.partition("::")
    assert f"def {name}(" in Path(file).read_text()
