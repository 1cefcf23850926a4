import shlex
import sys
from pathlib import Path

import pytest

from search.records.manifest import EngineFigures
from search.reporting.advice import (
    batch_hint,
    budget_in_numbers,
    chance_warning,
    interpreter,
    next_steps,
    nothing_to_prune,
    winner_lines,
    worst_allowed,
)
from tests.search.made_run import MANIFEST, baseline, manifest
from trainables.results import Chance


def test_the_budget_in_the_models_own_numbers():
    assert worst_allowed(baseline(), 0.1) == pytest.approx(0.81)
    assert "may fall from 0.9000 to 0.8100" in budget_in_numbers(baseline(), 0.1)


def test_a_metric_to_minimise_may_rise():
    error = baseline(maximize=False, metric=0.2, metric_name="error")
    assert "error may rise from 0.2000 to 0.2200" in budget_in_numbers(error, 0.1)


def test_what_is_next_depends_on_whether_the_run_is_finished():
    (step,) = next_steps("RUN", False)
    assert step.command.endswith(" -m search.run --resume RUN")
    commands = [step.command for step in next_steps("RUN", True)]
    assert all("RUN" in command for command in commands)
    assert not any("--resume" in command for command in commands)


def test_lines_to_paste_are_quoted_and_a_dashboard_gets_a_file(monkeypatch):
    monkeypatch.setattr("search.reporting.advice.find_spec", lambda name: name)
    address = "s3://bucket/my runs/it's?region=eu&x=1"
    journal = Path("/home/me/my cache/optuna.journal")
    for finished in (True, False):
        for step in next_steps(address, finished, journal):
            words = shlex.split(step.command)
            assert {address, str(journal)} & set(words), step.command
            assert "optuna-dashboard" not in words or address not in words
    assert not any("optuna" in step.command for step in next_steps(address, True))


def test_steps_name_a_python_that_the_shell_finds(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert interpreter() == "python"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (Path.cwd() / interpreter()).samefile(sys.executable)


def timed(**latency):
    """Return a manifest with other latencies."""
    return manifest(latency_ms={**MANIFEST["latency_ms"], **latency})


def test_the_headline_names_its_batch_and_threads():
    (headline, *_) = winner_lines(timed(ratio=0.2, batch_size=64, threads=1), 7)
    assert "latency 0.200 (5.0x) at batches of 64, 1 thread, size" in headline
    assert "batches of 1, 4 threads" in winner_lines(timed(batch_size=1, threads=4), 7)[0]


def test_how_to_have_latencies_of_single_samples_is_said_where_they_are_not():
    assert batch_hint(64, 1) == (
        "All latencies are of batches of 64, 1 thread; -o latency_batch=1 if you deploy single "
        "samples."
    )
    assert batch_hint(1, 2) == "All latencies are of batches of 1, 2 threads."


def test_how_much_of_the_budget_is_used_is_said_and_why_if_it_is_little():
    figures = {**MANIFEST["metric"], "loss_val": 0.03, "loss_val_margin": 0.01}
    found = manifest(metric=figures, budget=0.1)
    used = winner_lines(found, 7)[1]
    assert used == "budget use 0.40 on validation: +3.0 % loss and a margin of +1.0 %"
    assert "nothing faster exists here" in winner_lines(found, 7, is_floor=True)[1]
    most = manifest(metric={**figures, "loss_val": 0.07}, budget=0.1)
    assert winner_lines(most, 7, is_floor=True)[1].startswith("budget use 0.80")
    # An older manifest does not say it.
    assert not any("budget use" in line for line in winner_lines(timed(ratio=0.2), 7))


@pytest.mark.parametrize("ratio, said", [(0.2, False), (0.94, False), (0.97, True), (1.02, True)])
def test_a_winner_that_gains_nothing_is_said(ratio, said):
    lines = winner_lines(timed(ratio=ratio), 7)
    assert any("NOTHING GAINED" in line for line in lines) is said


LIGHTER = {"baseline": 2_000_000, "winner": 1_960_000}


@pytest.mark.parametrize(
    "objective, size, said",
    [
        ("latency", 990_000, None),
        ("size", 990_000, "has 0.99 of the unpruned one's size"),
        ("size", 200_000, None),
        ("multiply_adds", 200_000, "has 0.98 of the unpruned one's multiply-adds"),
    ],
)
def test_what_was_minimized_must_have_gained(objective, size, said):
    sizes = {"baseline": 1_000_000, "winner": size}
    found = manifest(objective=objective, size_bytes=sizes, multiply_adds=LIGHTER)
    lines = [line for line in winner_lines(found, 7) if "NOTHING GAINED" in line]
    assert (said is None and not lines) or (said is not None and said in lines[0])


def test_bounds_that_the_delivered_model_exceeds_are_said():
    kept = manifest(max_latency_ms=4.0, max_size_bytes=200_000)
    assert not any("the bound of" in line for line in winner_lines(kept, 7))
    missed = manifest(max_latency_ms=3.9, max_size_bytes=199_999)
    assert [line for line in winner_lines(missed, 7) if "the bound of" in line] == [
        "MISSED: the final timing is 4 ms, above the bound of 3.9",
        "MISSED: the files have 200000 bytes, above the bound of 199999",
    ]


def test_multiply_adds_are_said_where_they_were_minimized():
    half = {"baseline": 2_000_000, "winner": 500_000}
    assert "multiply-adds" not in winner_lines(manifest(multiply_adds=half), 7)[0]
    lightest = manifest(multiply_adds=half, objective="multiply_adds")
    assert "smaller, multiply-adds 4.0x fewer, top1_accuracy" in winner_lines(lightest, 7)[0]


@pytest.mark.parametrize("chance, warned", [(None, False), (False, False), (True, True)])
def test_a_baseline_at_chance_is_said(chance, warned):
    found = None if chance is None else Chance(0.1, chance)
    warning = chance_warning(baseline(chance=found))
    assert (warning is not None) is warned
    if warned:
        assert (
            "0.9000 is no better than that of a model that ignores its inputs (0.1000)" in warning
        )


def test_a_model_in_which_nothing_can_be_pruned_is_said():
    assert nothing_to_prune(baseline()) is None
    assert "its precision only" in nothing_to_prune(baseline(groups=(), branches=()))


def test_what_the_engine_and_what_compression_gain_is_kept_apart():
    factors = {"by_engine": 1.6, "by_compression": 3.5, "together": 5.6}
    found = timed(ratio=1 / 3.5).model_copy(update={"speedup": EngineFigures(**factors)})
    assert winner_lines(found, 7)[1] == (
        "5.6x faster than the unpruned float model on Paddle Inference: 1.60x by the engine "
        f"({found.latency_ms.engine}), 3.5x by compression"
    )
    assert not any("by the engine" in line for line in winner_lines(timed(ratio=0.2), 7))
