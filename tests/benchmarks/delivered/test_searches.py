"""What a search's own command has delivered, read from its run."""

import json
from pathlib import Path

import pytest

from benchmarks.delivered.methods.searches import read_delivered


@pytest.mark.slow
def test_a_finished_run_is_read(whole_run):
    run, _ = whole_run
    found = read_delivered(run, 12.5, status=0)
    manifest = json.loads((run / "manifest.json").read_text())
    assert found.metric_loss == manifest["metric"]["loss_val"]
    assert found.precision == found.plan.quantization.precision
    assert (Path(found.folder) / "inference.pdmodel").is_file() and found.engine == "onednn"
    assert found.processor_s == 12.5 and found.notes["status"] == "0"


def test_a_run_without_an_end_delivers_the_baseline(tmp_path):
    found = read_delivered(tmp_path, 3.0)
    assert found.folder is None and found.metric_loss == 0.0
