"""The lines of a report."""

import io

from rich.console import Console

from search.reporting.findings import read_findings
from search.reporting.terminal import SHOWN_FAILURES, delivered_lines, say_findings
from tests.search.made_run import MANIFEST, make_run, manifest

FIGURES = {
    "metric": {
        **MANIFEST["metric"],
        "name": "mean_iou",
        "baseline_val": 0.8,
        "winner_val": 0.76,
        "loss_val": 0.05,
        "baseline_test": 0.9,
        "winner_test": 0.81,
        "loss_test": 0.1,
    },
    "latency_ms": {**MANIFEST["latency_ms"], "winner": 5.0, "ratio": 0.25, "engine": "onednn"},
    "size_bytes": {"baseline": 1_000_000, "winner": 100_000},
}


def test_the_delivered_models_figures_are_sentences():
    assert delivered_lines(manifest(**FIGURES)) == [
        "delivered:",
        "  mean_iou on validation: 0.8000 to 0.7600 (+5.0 % loss)",
        "  mean_iou on test: 0.9000 to 0.8100 (+10.0 % loss)",
        "  latency: 20 to 5 ms at batches of 64, 1 thread, onednn (4.0x faster)",
        "  size: 1,000 to 100 kB (10.0x smaller)",
    ]


def test_bounds_and_multiply_adds_are_said():
    both = {"baseline": 12_300_000, "winner": 1_230_000}
    bounds = {"max_latency_ms": 4.5, "max_size_bytes": 150_000}
    asked = manifest(**FIGURES, **bounds, multiply_adds=both, objective="multiply_adds")
    assert delivered_lines(asked)[3:] == [
        "  latency: 20 to 5 ms at batches of 64, 1 thread, onednn (4.0x faster, bound 4.5 ms)",
        "  size: 1,000 to 100 kB (10.0x smaller, bound 150 kB)",
        "  multiply-adds: 12.3 to 1.2 million a sample (10.0x fewer)",
        "MISSED: the final timing is 5 ms, above the bound of 4.5",
    ]


def test_what_is_minimized_and_its_bounds_are_said_unless_they_are_the_default(tmp_path):
    asked = {"objective": "multiply_adds", "max_size_bytes": 700_000}
    said = []
    for name, settings in (("light", asked), ("fast", {})):
        file = io.StringIO()
        run = make_run(tmp_path / name, 24, **settings)
        say_findings(read_findings(str(run)), Console(file=file, width=80))
        said.append(file.getvalue())
    light, fast = said
    assert "Minimized: multiply-adds; size at most 700 kB." in light and "Minimized" not in fast
    assert "mult-adds" in light and "kB\n" not in light and "mult-adds" not in fast
    assert max(len(line) for line in light.splitlines() if "mult-adds" in line) < 80


def test_why_trials_failed_is_said(tmp_path):
    file = io.StringIO()
    say_findings(read_findings(str(make_run(tmp_path, 70))), Console(file=file, width=80))
    said = file.getvalue()
    assert said.count("failed: the training loss became nan at step 3") == SHOWN_FAILURES
    assert "and 2 more trials failed" in said
    assert "not finished: continue it with --resume" in said
