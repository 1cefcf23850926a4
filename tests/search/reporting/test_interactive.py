"""Figures as plotly renders them."""

import pytest
from plotly import colors

from search.reporting.figure import Axis, Bars, Figure, HeatMap, Level, Panel, Segment, Series
from search.reporting.figures import figures, fronts, groups
from search.reporting.findings import read_findings
from search.reporting.interactive import rendered
from tests.search.made_run import finish, make_run


@pytest.fixture
def described(tmp_path):
    runs = (finish(make_run(tmp_path / "finished", 24)), make_run(tmp_path / "begun", 0))
    found = [read_findings(str(run)) for run in runs]
    return [*figures(found[0]).values(), *figures(found[1]).values(), fronts(found)]


def parts(figure):
    """Return how many traces a figure comes to."""
    drawn = [item for panel in figure.panels for item in panel.drawn]
    return sum(len(item.segments) if isinstance(item, Bars) else 1 for item in drawn)


def test_every_figure_has_all_its_parts(described):
    for figure in described:
        drawn = rendered(figure)
        assert len(drawn.data) == parts(figure)
        assert drawn.layout.height == figure.height
        titles = {drawn.layout[axis].title.text for axis in drawn.layout if axis[1:5] == "axis"}
        for panel in figure.panels:
            assert {panel.x.title or None, panel.y.title or None} <= {t or None for t in titles}


def test_markers_lines_and_legend():
    series = [
        Series([1], [2], "#000000", "delivered", "star", size=17, hover=["trial 1 <x>\n2"]),
        Series([1, 2], [2, 3], "#D55E00", marker=None, line="dotted"),
        Series([1, 2], [2, 3], "#0072B2", "front", line="steps", opacity=0.5, group="run"),
    ]
    star, dotted, steps = rendered(Figure([Panel(series)], 300)).data
    assert (star.mode, star.marker.symbol, star.marker.size) == ("markers", "star", 17)
    assert star.text[0] == "<b>trial 1 &lt;x&gt;</b><br>2" and star.showlegend
    assert (dotted.mode, dotted.line.dash, dotted.hoverinfo) == ("lines", "dot", "skip")
    assert not dotted.showlegend
    assert (steps.mode, steps.line.shape, steps.legendgroup) == ("lines+markers", "hv", "run")
    assert steps.marker.opacity == 0.5


def test_budget_lines_are_named(described):
    (line,) = (shape for shape in rendered(described[0]).layout.shapes)
    assert line.y0 == line.y1 == 10.0 and line.line.dash == "dash"
    assert [note.text for note in rendered(described[0]).layout.annotations] == ["budget"]


def test_a_bound_is_a_vertical_line():
    levels = [Level(3.0, "#D55E00", "bound", "x"), Level(10.0, "#D55E00", "budget")]
    points = [Series([1], [2], "#000000")]
    upright, flat = rendered(Figure([Panel(points, levels=levels)], 300)).layout.shapes
    assert (upright.x0, upright.x1) == (3.0, 3.0) and upright.y0 != upright.y1
    assert (flat.y0, flat.y1) == (10.0, 10.0) and flat.x0 != flat.x1


def test_axes_begin_at_zero_or_have_limits():
    axis = rendered(Figure([Panel([], x=Axis("t", True), y=Axis(limits=(-1, 5)))], 300)).layout
    assert axis.xaxis.rangemode == "tozero" and axis.yaxis.range == (-1, 5)


def test_stacked_bars():
    segments = [Segment("study", 3, "#0072B2", "search", "search: 3 s")] * 2
    drawn = rendered(Figure([Panel([Bars(segments, horizontal=True)])], 300))
    assert drawn.layout.barmode == "stack"
    assert [(bar.x, bar.y, bar.orientation) for bar in drawn.data] == [((3,), ("study",), "h")] * 2


def test_heat_maps_have_a_scale_each(tmp_path):
    findings = read_findings(str(finish(make_run(tmp_path / "finished", 24))))
    for trace, scale in zip(rendered(groups(findings)).data, ("Blues", "OrRd"), strict=True):
        assert trace.showscale is not False and len(trace.colorbar.tickvals) == 3
        assert trace.colorscale[-1][1] == colors.get_colorscale(scale)[-1][1]


def test_long_names_and_many_columns_leave_a_phone_room():
    names = ["short", "stages.0.blocks.0.depthwise.conv.weight"]
    columns = [str(number) for number in range(9)]
    heat = HeatMap([[1.0] * 9] * 2, names, columns, "Blues", 100, "{row} {value:.0f}")
    layout = rendered(Figure([Panel([heat])], 300)).layout
    assert layout.yaxis.ticktext == ("short", "…epthwise.conv.weight")
    assert layout.xaxis.tickvals == tuple(columns[::2])
