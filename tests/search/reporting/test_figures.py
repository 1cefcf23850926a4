"""What each figure shows, before it is rendered."""

import pytest

from search.reporting.figure import HeatMap, Segment
from search.reporting.figures import (
    COLOURS,
    FADED,
    FRONT_COLOUR,
    SEQUENCE,
    figures,
    front,
    fronts,
    groups,
    progress,
    seconds,
    shown_losses,
)
from search.reporting.findings import read_findings
from tests.search.made_run import GROUPS, finish, make_run


@pytest.fixture
def findings(tmp_path):
    return read_findings(str(finish(make_run(tmp_path / "finished", 24))))


def series(figure, **wanted):
    """Return the series of the first panel that have these fields."""
    return [
        item
        for item in figure.panels[0].drawn
        if all(getattr(item, name) == value for name, value in wanted.items())
    ]


def test_a_run_has_the_figures_that_it_has_come_to(findings, tmp_path):
    names = ["front", "progress", "groups", "seconds", "before_and_after"]
    assert list(figures(findings)) == names
    begun = read_findings(str(make_run(tmp_path / "begun")))
    assert list(figures(begun)) == names[:4]
    nothing = read_findings(str(make_run(tmp_path / "nothing", stages=False)))
    assert list(figures(nothing)) == ["front", "progress", "seconds"]


def test_the_front_shows_every_measured_trial_once(findings):
    points = findings.points()
    circles = series(front(findings), marker="circle")
    assert sorted(x for item in circles for x in item.x) == pytest.approx(
        sorted(20.0 * point.cost for point in points)
    )
    feasible = [len(item.x) for item in circles if item.opacity == 1.0]
    assert sum(feasible) == len(findings.ledger.feasible())
    assert {item.opacity for item in circles} == {1.0, FADED}
    assert {item.name for item in circles} == {*(point.precision for point in points), None}
    texts = [text for item in circles for text in item.hover]
    assert len(texts) == len(points) and all(text.startswith("trial ") for text in texts)


def test_the_line_joins_the_ledgers_front(findings):
    (line,) = series(front(findings), line="steps")
    ratios = sorted(record.result.latency_ratio for record in findings.ledger.front())
    assert line.x == pytest.approx([20.0 * ratio for ratio in ratios])


def test_budget_and_baseline_are_marked(findings):
    shown = front(findings)
    (level,) = shown.panels[0].levels
    assert (level.value, level.text) == (10.0, "budget")
    (baseline,) = series(shown, marker="square")
    assert (baseline.x, baseline.y) == ([20.0], [0])


def test_the_front_is_drawn_against_the_size_where_that_is_minimized(tmp_path):
    bounds = {"max_size_bytes": 950_000, "max_latency_ms": 19.5}
    run = make_run(tmp_path / "small", 24, objective="size", **bounds)
    found = read_findings(str(finish(run, objective="size", **bounds)))
    shown = front(found)
    (panel,) = shown.panels
    assert panel.x.title == "size, MB"
    assert [(level.value, level.text, level.axis) for level in panel.levels] == [
        (10.0, "budget", "y"),
        (0.95, "bound", "x"),
    ]
    (baseline,) = series(shown, marker="square")
    assert (baseline.x, baseline.hover) == ([1.0], ["baseline\n1 MB"])
    circles = series(shown, marker="circle")
    sizes = [r.result.size_bytes / 1e6 for r in found.ledger.complete()]
    assert sorted(x for item in circles for x in item.x) == pytest.approx(sorted(sizes))
    (line,) = series(shown, line="steps")
    records = found.ledger.front()
    assert records and line.x == pytest.approx([r.result.size_bytes / 1e6 for r in records])
    # The manifest's size, 200 of 1,000 kB.
    (star,) = series(shown, marker="star")
    assert star.x == [0.2]
    assert all(", size " in text for item in circles for text in item.hover)
    (diamonds,) = series(shown, marker="open diamond")
    model = found.thresholds[0]
    assert diamonds.x[0] == model.cost and 0 < model.cost < 1
    assert progress(found).panels[1].y.title == "best size ratio"
    assert fronts([found]).panels[0].x.title == "size ratio to the run's own baseline"


def test_the_front_is_drawn_against_the_multiply_adds_where_those_are_minimized(tmp_path):
    both = {"baseline": 6_000_000, "winner": 1_500_000}
    run = make_run(tmp_path / "light", 24, objective="multiply_adds")
    found = read_findings(str(finish(run, objective="multiply_adds", multiply_adds=both)))
    (panel,) = front(found).panels
    assert panel.x.title == "multiply-adds of a sample, million"
    circles = series(front(found), marker="circle")
    millions = [found.ledger.multiply_adds(r.plan) / 1e6 for r in found.ledger.complete()]
    assert sorted(x for item in circles for x in item.x) == pytest.approx(sorted(millions))
    (star,) = series(front(found), marker="star")
    assert star.x == [1.5]
    titles = [panel.title for panel in figures(found)["before_and_after"].panels]
    assert titles == ["latency, ms", "size, MB", "multiply-adds, million"]


def test_a_bound_on_the_latency_is_a_line(tmp_path):
    found = read_findings(str(make_run(tmp_path / "bounded", 24, max_latency_ms=9.0)))
    levels = front(found).panels[0].levels
    assert [(level.value, level.axis) for level in levels] == [(10.0, "y"), (9.0, "x")]
    # What exceeds it is no part of the front.
    (line,) = series(front(found), line="steps")
    assert line.x and max(line.x) <= 9.0
    slow = [x for item in series(front(found), opacity=1.0) for x in item.x if x > 9.0]
    assert slow == [20.0], "the baseline"


def test_runs_that_minimized_other_things_are_drawn_by_their_own(tmp_path):
    runs = [make_run(tmp_path / one, 24, objective=one) for one in ("latency", "size")]
    shown = fronts([read_findings(str(run)) for run in runs])
    assert shown.panels[0].x.title == "latency or size ratio to the run's own baseline"


def test_a_delivered_model_is_at_its_own_figures_and_joined_to_its_trial(findings):
    for shown, x in ((front(findings), 4.0), (fronts([findings]), 0.2)):
        (star,) = series(shown, marker="star")
        # The manifest's latency, 4 of 20 ms, not the trial's.
        assert (star.x[0], star.y[0]) == (pytest.approx(x), pytest.approx(5.56))
    (cross,) = series(front(findings), marker="cross")
    assert cross.y[0] == pytest.approx(10.5)
    ends = [(line.x[1], line.y[1]) for line in series(front(findings), line="dotted")]
    assert ends == [(cross.x[0], cross.y[0]), (4.0, pytest.approx(5.56))]


def test_thresholds_are_marked_as_predicted_until_measured(findings):
    (diamonds,) = series(front(findings), marker="open diamond")
    assert diamonds.name == "equal-loss thresholds, predicted"
    assert len(diamonds.x) == len(findings.thresholds)
    assert all("predicted, not tried" in text for text in diamonds.hover)


def test_losses_far_above_the_budget_are_cut_off():
    low, high = shown_losses([-0.01, 0.05, 0.9], 0.1)
    assert -3 < low < -1 and 10 < high < 12
    low, high = shown_losses([], 0.0)
    assert low <= 0 <= high


def test_progress_is_in_percent_of_the_whole_area(findings):
    above, below = progress(findings).panels
    assert above.drawn[0].y[-1] == pytest.approx(100 * findings.ledger.hypervolume() / 0.1)
    assert below.drawn[0].y[-1] == findings.ledger.front()[0].result.latency_ratio


def test_the_maps_have_a_row_a_group(findings):
    for panel in groups(findings).panels:
        (heat,) = panel.drawn
        assert list(heat.rows) == list(GROUPS)
        assert heat.values.shape == (len(heat.rows), len(heat.columns))
    removed, lost = (panel.drawn[0] for panel in groups(findings).panels)
    assert list(removed.columns) == [str(r.number) for r in findings.ledger.front()]
    assert lost.highest == 20.0 and lost.open_ended
    assert lost.hover.format(row="a", column="50", value=6.0) == "a\n50 % removed: 6.00 % lost"


def test_the_bars_add_up_to_the_time_spent(findings):
    (bars,) = seconds(findings).panels[0].drawn
    study = sum(segment.length for segment in bars.segments if segment.bar == "study")
    assert study == sum(findings.stage_seconds.values())
    assert {segment.bar for segment in bars.segments} == {"study", "all trials"}


def test_all_figures_have_one_palette(findings):
    for name, figure in figures(findings).items():
        for panel in figure.panels:
            items = [item for item in panel.drawn if not isinstance(item, HeatMap)]
            parts = [part for item in items for part in getattr(item, "segments", [item])]
            assert parts or name == "groups"
            for part in parts:
                assert part.colour in {*COLOURS.values(), *SEQUENCE, FRONT_COLOUR}, (name, part)
                assert not isinstance(part, Segment) or part.length > 0
