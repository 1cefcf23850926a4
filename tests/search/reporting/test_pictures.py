"""Figures as matplotlib renders them."""

import io

import pytest
from matplotlib.colors import to_hex
from PIL import Image

from search.reporting.figure import Axis, Bars, Figure, Level, Panel, Segment, Series
from search.reporting.figures import figures, fronts
from search.reporting.findings import read_findings
from search.reporting.pictures import DPI, PIXELS, WIDTH, draw_pictures, rendered
from tests.search.made_run import finish, make_run


@pytest.fixture
def described(tmp_path):
    runs = (finish(make_run(tmp_path / "finished", 24)), make_run(tmp_path / "begun", 0))
    found = [read_findings(str(run)) for run in runs]
    return [*figures(found[0]).values(), *figures(found[1]).values(), fronts(found)]


def test_every_panel_has_its_titles_and_its_legend(described):
    for figure in described:
        drawn = [axes for axes in rendered(figure).axes if axes.get_label() != "<colorbar>"]
        assert len(drawn) == len(figure.panels)
        for axes, panel in zip(drawn, figure.panels, strict=True):
            assert axes.get_title() == panel.title
            assert (axes.get_xlabel(), axes.get_ylabel()) == (panel.x.title, panel.y.title)
            names = [name for item in panel.drawn if (name := getattr(item, "name", None))]
            assert axes.get_legend_handles_labels()[1] == names
            assert (axes.get_legend() is not None) == bool(names)


def test_series_levels_and_limits(described):
    (axes,) = rendered(described[0]).axes
    panel = described[0].panels[0]
    assert axes.get_ylim() == pytest.approx(panel.y.limits) and axes.get_xlim()[0] == 0
    assert [text.get_text() for text in axes.texts] == ["budget"]
    marked = [item for item in panel.drawn if item.marker]
    assert [len(shown.get_offsets()) for shown in axes.collections] == [len(i.x) for i in marked]


def test_a_bound_is_a_vertical_line():
    levels = [Level(3.0, "#D55E00", "bound", "x"), Level(10.0, "#D55E00", "budget")]
    (axes,) = rendered(Figure([Panel([], levels=levels)], 300)).axes
    upright, flat = axes.lines
    assert list(upright.get_xdata()) == [3.0, 3.0] and list(flat.get_ydata()) == [10.0, 10.0]
    assert [text.get_text() for text in axes.texts] == ["bound", "budget"]


def test_bars_are_stacked_and_long_segments_labelled():
    segments = [Segment("study", length, "#0072B2", f"stage {length}", "") for length in (1, 9, 90)]
    (axes,) = rendered(Figure([Panel([Bars(segments, horizontal=True)])], 300)).axes
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(0, 1), (1, 9), (10, 90)]
    assert [text.get_text() for text in axes.texts] == ["stage 9", "stage 90"]
    (axes,) = rendered(Figure([Panel([Bars(segments[:1])])], 300)).axes
    assert [text.get_text() for text in axes.texts] == ["stage 1"]


def test_an_open_marker_is_not_filled():
    both = [Series([1], [1], "#D55E00", marker=marker) for marker in ("diamond", "open diamond")]
    (axes,) = rendered(Figure([Panel(both, x=Axis("x"))], 300)).axes
    filled, open_ = axes.collections
    assert to_hex(filled.get_facecolors()[0]) == "#d55e00" and not len(open_.get_facecolors())
    assert to_hex(open_.get_edgecolors()[0]) == "#d55e00"


def test_pictures_are_png_files_of_their_figures_size(tmp_path):
    findings = read_findings(str(finish(make_run(tmp_path / "finished", 24))))
    pictures = dict(draw_pictures(findings))
    described = figures(findings)
    assert list(pictures) == list(described)
    for name, data in pictures.items():
        size = (round(WIDTH * DPI), round(described[name].height / PIXELS * DPI))
        image = Image.open(io.BytesIO(data))
        assert image.format == "PNG" and image.size == pytest.approx(size, abs=1)
