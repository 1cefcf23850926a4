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
        sorted(20.0 * point.latency_ratio for point in points)
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
    assert (level.y, level.text) == (10.0, "budget")
    (baseline,) = series(shown, marker="square")
    assert (baseline.x, baseline.y) == ([20.0], [0])


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
