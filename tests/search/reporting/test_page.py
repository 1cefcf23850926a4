"""The page of a run, as text and in a real browser."""

import json
import re

import pytest

from search.console import percent
from search.records.run_folder import RunFolder
from search.report import main
from search.reporting.findings import read_findings
from search.reporting.page import comparison_page, layers_table, run_page, winner_table
from spaces.mixing import Int8Costs
from spaces.plan import MixedInt8, Plan
from tests.helpers.browser import WIDTHS, chromium, show
from tests.search.made_run import MANIFEST, finish, make_run, manifest


@pytest.fixture
def finished(tmp_path):
    return finish(make_run(tmp_path / "finished", 24))


def page_of(run):
    return run_page(read_findings(str(run)), str(run))


def test_a_finished_run_has_the_winners_figures_on_both_splits(finished):
    page = page_of(finished)
    for text in ("0.8500", "0.7900", "+5.6 % loss (± 0.4)", "5.0x faster", "5.0x smaller"):
        assert text in page
    assert "-m search.select" in page
    assert "--resume" not in page


def test_the_delivered_point_is_shown_beside_its_trial_and_said(finished):
    findings = read_findings(str(finished))
    rejected, delivered = findings.retrained()
    page = page_of(finished)
    for plan in (rejected, delivered):
        assert f"Trial {plan.number}, at {percent(plan.trial_loss)} in the search" in page
    assert "was trained in full and delivered at +5.6 % (the star)" in page
    assert "+10.5 % (a cross: over the budget)" in page
    assert ">+5.6 %, delivered</td>" in page


def test_an_older_run_and_an_unfinished_one_have_no_delivered_point(finished, tmp_path):
    older = {name: value for name, value in MANIFEST.items() if name != "retrained"}
    (finished / "manifest.json").write_text(json.dumps(older))
    for run in (finished, make_run(tmp_path / "begun", 5)):
        assert read_findings(str(run)).retrained() == []
        assert "the star" not in page_of(run)


def test_a_budget_that_is_missed_on_test_is_said():
    assert "loses more than the budget" in winner_table(manifest()).warning
    kept = manifest(metric={**MANIFEST["metric"], "within_budget_on_test": True})
    assert winner_table(kept).warning is None
    slow = manifest(latency_ms={**MANIFEST["latency_ms"], "ratio": 1.0})
    assert "NOTHING GAINED" in winner_table(slow).warning
    assert "loses more than the budget" in winner_table(slow).warning


def test_bounds_and_multiply_adds_are_in_the_winners_table():
    both = {"baseline": 12_300_000, "winner": 1_230_000}
    bounds = {"max_latency_ms": 3.0, "max_size_bytes": 500_000}
    table = winner_table(manifest(**bounds, multiply_adds=both, objective="multiply_adds"))
    gained = [row[-1] for row in table.rows[-3:]]
    assert gained == ["5.0x faster, bound 3 ms", "5.0x smaller, bound 500 kB", "10.0x fewer"]
    assert "A bound is missed: the final timing is 4 ms" in table.warning


def test_the_words_are_those_of_what_was_minimized(tmp_path):
    run = make_run(tmp_path / "small", 24, objective="size", max_latency_ms=15.0)
    page = page_of(run)
    assert "Loss against size" in page and "latency</h2>" not in page
    assert "the baseline&#39;s size that" in page
    assert "Minimized: size; latency at most 15 ms." in page
    assert "Minimized" not in page_of(make_run(tmp_path / "fast", 3))
    light = page_of(make_run(tmp_path / "light", 24, objective="multiply_adds"))
    assert "multiply-adds ratio" in light and "multiply-adds ratio" not in page


def test_a_running_run_says_how_far_it_is(tmp_path):
    page = page_of(make_run(tmp_path, 5))
    assert "Not finished yet: 5 of 24 trials" in page
    assert f"--resume {tmp_path}" in page
    assert "may fall from 0.9000 to 0.8100" in page


def test_a_run_without_a_trial_or_a_baseline_has_a_page(tmp_path):
    assert "0 of 24 trials" in page_of(make_run(tmp_path / "stages"))
    assert "0 of 24 trials" in page_of(make_run(tmp_path / "nothing", stages=False))


def test_names_are_text_not_html(finished):
    assert "&lt;its&gt;" in page_of(finished)


def test_nothing_is_loaded_from_anywhere(finished):
    page = page_of(finished)
    assert 'src="http' not in page
    assert '<link rel="stylesheet"' not in page


def test_runs_side_by_side(finished, tmp_path):
    other = make_run(tmp_path / "other", 10, budget=0.05)
    page = comparison_page([read_findings(str(run)) for run in (finished, other)])
    assert "finished / other" in page
    assert "10 %" in page and "5 %" in page


OUT_OF_SIGHT = """
return [...document.querySelectorAll('table, td, th, pre, p, li')].filter(element => {
  const box = element.getBoundingClientRect();
  return element.scrollWidth > element.clientWidth + 1 && element.clientWidth > 0
    || box.right > document.documentElement.clientWidth + 1;
}).map(element => element.outerHTML.slice(0, 80));
"""
TICKS = """
return [...document.querySelectorAll('.xtick text, .ytick text')].map(tick => tick.textContent);
"""


@pytest.mark.slow
def test_in_a_browser_at_both_widths_nothing_is_wrong(finished, tmp_path):
    begun, other = make_run(tmp_path / "begun"), make_run(tmp_path / "other", 10)
    for run in (finished, begun):
        assert main([str(run)]) == 0
    assert main(["--compare", str(finished), str(other), "--out", str(tmp_path)]) == 0
    pages = [finished / "report.html", begun / "report.html", tmp_path / "comparison.html"]
    with chromium() as browser:
        for width in WIDTHS.values():
            for page, figures in zip(pages, (5, 4, 1), strict=True):
                show(browser, page, width)
                assert browser.get_log("browser") == []
                drawn = "return document.querySelectorAll('.plotly-graph-div').length"
                assert browser.execute_script(drawn) == figures
                wide = "return document.documentElement.scrollWidth"
                assert browser.execute_script(wide) <= width
                # Nothing is behind a scroll of its own, and no tick is a number like 0.1187.
                assert browser.execute_script(OUT_OF_SIGHT) == []
                ticks = browser.execute_script(TICKS)
                assert ticks or page == pages[1]
                assert [tick for tick in ticks if re.search(r"\d\.\d{3}", tick)] == []


@pytest.mark.slow
def test_in_a_browser_the_pointer_shows_a_plan(finished):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By

    assert main([str(finished)]) == 0
    with chromium() as browser:
        show(browser, finished / "report.html", WIDTHS["desktop"])
        figure = browser.find_element(By.ID, "figure-front")
        point = figure.find_element(By.CSS_SELECTOR, ".scatterlayer .point")
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", figure)
        ActionChains(browser).move_to_element(point).pause(0.5).perform()
        shown = figure.find_element(By.CSS_SELECTOR, ".hoverlayer").text
        assert "trial " in shown and "latency" in shown
        assert browser.get_log("browser") == []


def test_what_int8_costs_is_told_layer_by_layer(finished):
    findings = read_findings(str(finished))
    table = layers_table(findings.int8, Plan.of({}, MixedInt8(("head",))))
    assert table.rows == [
        ("head", "+6.0 %", "2.0e-01", "+5.0 %", "float"),
        ("stem", "+1.0 %", "1.0e-03", "+20.0 %", ""),
    ]
    assert "of 3 layers" in page_of(finished)


def test_a_run_that_did_not_measure_layers_tells_nothing_of_them(tmp_path):
    run = make_run(tmp_path / "begun", 3)
    RunFolder(run).finish_stage("layers", Int8Costs(0.001, 0.001, 0.4))
    assert "What INT8 costs in each layer" not in page_of(run)
