"""The check of GPUs where there is none: what it would do, and its report of checks that fail."""

import re
import sys

import pytest

from benchmarks.gpu_check import __main__ as gpu_check
from benchmarks.gpu_check import checks, report
from benchmarks.gpu_check.report import Check, run_checks
from search import run
from search.cli.configuration import check_engine
from trainables.deployment import gpu

pytestmark = pytest.mark.skipif(gpu.has_gpu(), reason="there is a GPU")


def python(name, code, limit_s=600.0):
    return Check(name, f"what {name} tries", (sys.executable, "-c", code), limit_s)


MADE = [
    python("good", "print('well'); print('found | this')"),
    python("wrong", "print('first'); raise RuntimeError('it is off by 2')"),
    python("lacking", f"print('no second GPU'); raise SystemExit({report.SKIPPED})"),
    python("killed", "import os; print('before', flush=True); os.kill(os.getpid(), 9)"),
    python("hanging", "import time; print('waits', flush=True); time.sleep(60)", limit_s=1.0),
    Check("missing", "a program that is not there", ("/no/such/program",), 600.0),
    python("silent", "raise SystemExit(3)"),
    python("last", "print('made all the same')"),
]
VERDICTS = ["pass", "fail", "skipped", "fail", "fail", "fail", "fail", "pass"]


def test_no_check_ends_the_others_and_the_report_has_a_reason_for_each():
    said, persisted = [], []
    outcomes = run_checks(MADE, 3600.0, said.append, lambda done: persisted.append([*done]))
    assert [outcome.verdict for outcome in outcomes] == VERDICTS
    found = {outcome.check.name: outcome.found for outcome in outcomes}
    assert found["wrong"] == "RuntimeError: it is off by 2"
    assert found["lacking"] == "no second GPU"
    assert found["killed"] == "ended by SIGKILL: before"
    assert found["hanging"] == "no end after 1 s"
    assert found["missing"] == "cannot be started: No such file or directory"
    assert found["silent"] == "it printed nothing"
    # What is known is persisted after each.
    assert [len(done) for done in persisted] == [*range(1, 9)]
    assert len(said) == 16
    text = report.report(outcomes, report.machine(), "no nvidia-smi")
    assert "2 pass, 5 fail, 1 skipped" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == 2 + len(MADE)
    assert all(row.count("|") == 6 for row in rows)
    assert re.search(r"\| good \| what good tries \| pass \| \d+ \| found / this \|", text)
    # Those that failed are shown whole, the others are not.
    assert "## wrong" in text and "Traceback" in text and "## good" not in text


def test_checks_for_which_no_time_is_left_have_failed():
    slow = [python("slow", "import time; time.sleep(60)"), python("late", "print(1)")]
    first, second = run_checks(slow, 0.5, lambda line: None, lambda done: None)
    assert (first.verdict, second.verdict) == ("fail", "fail")
    assert second.found == "not begun: the time for all checks was over"


def test_without_a_gpu_it_says_what_it_would_do(tmp_path, capsys):
    target = tmp_path / "report.md"
    assert gpu_check.main(["--report", str(target)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("paddle sees no GPU here.") and not target.exists()
    for name in ("device", "gpu-float16", "tensorrt-int8", "search", "nccl"):
        assert f"  {name}: " in said


def test_a_check_that_needs_a_gpu_fails_with_a_reason_without_one():
    device = next(check for check in checks.all_checks() if check.name == "device")
    (outcome,) = run_checks([device], 3600.0, lambda line: None, lambda done: None)
    assert (outcome.verdict, outcome.found) == ("fail", "RuntimeError: paddle sees no GPU")


def test_a_precision_that_the_gpu_lacks_is_skipped(capsys):
    assert checks.main("gpu-bfloat16") == report.SKIPPED
    assert capsys.readouterr().out.strip() == "this GPU has no bfloat16"


def test_an_engine_is_checked_as_it_would_be_on_a_gpu():
    assert "outputs differ by" in checks.engine("onednn", "float", "onednn")


def test_the_searches_settings_are_allowed(tmp_path):
    _, _, _, *arguments = checks.search_command(tmp_path, retrain_workers=2)
    config = run.settings_from(run.build_parser().parse_args(arguments))
    check_engine(config, config.choices)
    assert (config.trials, config.engine, config.retrain_workers) == (4, "gpu", 2)


def test_every_check_has_its_function():
    assert {check.name for check in checks.all_checks()} == set(checks.functions())
