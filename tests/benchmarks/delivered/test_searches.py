"""A search by its command: how it is kept to its time, with a command that only takes time."""

import json

import pytest
import yaml

from benchmarks.delivered.methods.searches import SEARCH_SHARE, cut_trials, has_searched, search
from benchmarks.delivered.processor import ProcessorClock
from spaces.plan import Plan, QuantizationChoice

PLAN = Plan.of({"a": 0.5}, QuantizationChoice.INT8_QAT)
COMMAND = """
import json, pathlib, sys
resumed = "--resume" in sys.argv
out = pathlib.Path(sys.argv[sys.argv.index("--resume" if resumed else "--out") + 1])
if resumed:
    trials = (out / "config.yaml").read_text()
    plan = {"ratios": {"a": 0.5}, "quantization": "int8_qat"}
    metric = {"loss_val": 0.08, "loss_val_standard_error": 0.01}
    manifest = {"plan": plan, "metric": metric, "trials": trials}
    (out / "manifest.json").write_text(json.dumps(manifest))
else:
    (out / "trials").mkdir(parents=True)
    (out / "config.yaml").write_text("trials: 24\\n")
    for name in ("000000", "000001-1", "000001"):
        (out / "trials" / f"{name}.parquet").touch()
    while True:
        pass
"""


@pytest.fixture
def tree(tmp_path):
    package = tmp_path / "tree" / "search"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "run.py").write_text(COMMAND)
    return package.parent


def test_a_search_out_of_time_ends_with_the_trials_that_have_finished(tree, tmp_path):
    seconds = (ProcessorClock().seconds() + 1.5) / SEARCH_SHARE
    found = search({"trials": 24}, tree, seconds, tmp_path, commit="abc")
    assert found.folder == str(tmp_path / "run" / "model")
    assert (found.plan, found.precision) == (PLAN, "int8")
    assert (found.metric_loss, found.standard_error) == (0.08, 0.01)
    assert found.notes["trials_cut_to"] == "2"
    assert yaml.safe_load(json.loads(found.notes["trials"])) == {"trials": 2}
    assert SEARCH_SHARE * seconds < found.processor_s < seconds + 2


def test_a_run_without_a_manifest_delivers_the_baseline(tree, tmp_path):
    (tree / "search" / "run.py").write_text("raise SystemExit('no model keeps the budget')")
    found = search({"trials": 24}, tree, 1000.0, tmp_path)
    assert (found.folder, found.notes["status"]) == (None, "1")


def test_one_trial_is_left_at_least(tmp_path):
    (tmp_path / "config.yaml").write_text("trials: 24\nseed: 3\n")
    assert cut_trials(tmp_path) == 1
    assert yaml.safe_load((tmp_path / "config.yaml").read_text()) == {"trials": 1, "seed": 3}


def test_a_search_has_ended_when_its_seconds_are_known(tmp_path):
    assert not has_searched(tmp_path)
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "seconds.json").write_text('{"baseline": 3.0}')
    assert not has_searched(tmp_path)
    (tmp_path / "stages" / "seconds.json").write_text('{"baseline": 3.0, "search": 9.0}')
    assert has_searched(tmp_path)
