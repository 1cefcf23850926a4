"""Figures of delivered models, from artificial ones."""

from dataclasses import replace

import pytest

from benchmarks.delivered.figures import (
    HEADER,
    compared,
    expected_share,
    summarised,
    table,
    use_with_margin,
)
from benchmarks.delivered.judging import Judged, latest
from benchmarks.delivered.part import read, written

MODEL = Judged("a", "ours", 0, 0.1, True, 0.1, 0.05, 0.06, 0.01, 0.05, 0.01, 600.0)


@pytest.fixture
def judged():
    found = []
    for problem, faster in (("a", 0.5), ("b", 0.8)):
        for seed, noise in ((0, 1.1), (1, 1 / 1.1)):
            other = replace(MODEL, problem=problem, seed=seed, method="threshold")
            found += [
                other,
                replace(other, method="ours", latency_ratio=0.1 * faster * noise, size_ratio=0.04),
            ]
    return found


def test_ours_is_compared_seed_by_seed_and_problems_count_alike(judged):
    figure = compared(judged, "ours", "threshold", "latency_ratio")
    assert figure["value"] == pytest.approx((0.5 * 0.8) ** 0.5)
    assert figure["by_problem"] == pytest.approx({"a": 0.5, "b": 0.8})
    # Two logarithms, 0.0953 above and below their mean.
    assert figure["standard_errors"]["a"] == pytest.approx(0.0953, rel=1e-3)
    assert figure["seeds"] == {"a": 2, "b": 2}


def test_a_seed_that_only_one_of_them_has_does_not_count(judged):
    more = [*judged, replace(MODEL, seed=9, latency_ratio=0.001)]
    assert compared(more, "ours", "threshold", "latency_ratio") == compared(
        judged, "ours", "threshold", "latency_ratio"
    )


def test_only_models_that_were_timed_in_turn_are_compared(judged):
    later = [
        replace(m, at="2", latency_ratio=2 * m.latency_ratio) for m in judged if m.problem == "a"
    ]
    alone = replace(MODEL, at="3", latency_ratio=0.001)
    figure = compared([alone, *later, *judged], "ours", "threshold", "latency_ratio")
    assert figure == compared(judged, "ours", "threshold", "latency_ratio")
    # The table has the model that was judged last.
    (ours,) = [row for row in table([alone, *judged]).splitlines() if row.startswith("| a | ours")]
    assert "(0.0010 to 0.0455)" in ours


def test_a_judgement_is_kept_until_a_later_one_has_its_methods(judged):
    known = [replace(model, at="1") for model in judged]
    ours = [replace(m, at="2") for m in judged if (m.method, m.seed) == ("ours", 0)]
    assert len(latest(known, ours)) == len(judged) + len(ours)
    whole = [replace(m, at="3") for m in judged if m.seed == 0]
    kept = latest([*known, *ours], whole)
    assert {(m.seed, m.at) for m in kept} == {(0, "3"), (1, "1")}
    assert latest(kept, []) == kept == latest(kept, kept)


def test_a_method_that_was_not_run_has_no_figure(judged):
    figures = summarised(judged)
    assert "delivered_latency_vs_before" not in figures
    assert figures["delivered_size_vs_threshold_int8"]["value"] == pytest.approx(0.8)


def test_budget_use_has_the_margin_and_only_models_that_were_delivered(judged):
    assert use_with_margin(MODEL) == pytest.approx((0.06 + 1.64 * 0.01) / 0.1)
    baseline = replace(MODEL, seed=7, delivered=False, loss_val=0.0, error_val=0.0)
    figure = summarised([*judged, baseline])["budget_use_median"]
    assert figure["value"] == pytest.approx(use_with_margin(MODEL))
    assert figure["without_margin"] == pytest.approx(0.6)


def test_budget_kept_on_test_is_a_share_of_all_methods_models(judged):
    judged[0] = replace(judged[0], loss_test=0.11)
    figure = summarised(judged)["budget_kept_on_test"]
    assert (figure["value"], figure["models"]) == (pytest.approx(7 / 8), 8)
    assert figure["by_problem"] == {"a": 0.75, "b": 1.0}


def test_a_model_at_the_budget_is_expected_to_keep_it_half_of_the_time():
    assert expected_share(replace(MODEL, loss_val=0.1)) == pytest.approx(0.5)
    assert expected_share(replace(MODEL, loss_val=0.1 - 2**0.5 * 0.01)) == pytest.approx(
        0.8413, abs=1e-4
    )
    assert expected_share(replace(MODEL, error_val=0.0, error_test=0.0)) == 1.0


def test_the_table_says_how_often_nothing_was_delivered(judged):
    judged[0] = replace(judged[0], delivered=False, latency_ratio=1.0, size_ratio=1.0)
    rows = table(judged).splitlines()
    assert "\n".join(rows[:2]) == HEADER
    threshold, ours = rows[2:4]
    assert threshold.startswith("| a | threshold | 2 (1) | 0.3162 (0.1000 to 1.0000) |")
    assert ours.startswith("| a | ours | 2 | 0.0500 (0.0455 to 0.0550) | 0.0400 (0.0400 to 0.0400)")
    assert "| +5.00% ± 1.00% | 0 of 2 |" in ours
    assert all(row.count("|") == rows[0].count("|") for row in rows)


def test_models_are_read_as_they_were_written(judged, tmp_path):
    file = tmp_path / "delivered.json"
    file.write_text(written(judged))
    assert read(file) == judged
