"""The command search.report."""

import pytest

from search.report import main
from tests.search.made_run import finish, make_run


@pytest.fixture
def finished(tmp_path):
    return finish(make_run(tmp_path / "finished", 24))


def test_page_and_pictures_are_written_and_named(finished, capsys):
    assert main([str(finished)]) == 0
    assert f"report: {finished / 'report.html'}" in capsys.readouterr().out
    names = {"front", "progress", "groups", "seconds", "before_and_after"}
    for name in names:
        data = (finished / "report" / f"{name}.png").read_bytes()
        assert data.startswith(b"\x89PNG") and len(data) > 5_000


def test_runs_are_compared_in_a_page_of_their_own(finished, tmp_path, capsys):
    other = make_run(tmp_path / "other", 10)
    out = tmp_path / "out"
    assert main(["--compare", str(finished), str(other), "--out", str(out)]) == 0
    assert f"report: {out / 'comparison.html'}" in capsys.readouterr().out
    assert "finished / other" in (out / "comparison.html").read_text()
    assert not (finished / "report.html").exists()


@pytest.mark.parametrize("runs", [["/nowhere"], ["--compare", "/nowhere", "/else"]])
def test_a_mistake_is_one_line(runs, capsys):
    assert main(runs) == 2
    assert "/nowhere: holds no run" in capsys.readouterr().err


def test_without_a_run_one_is_asked_for(capsys):
    assert main([]) == 2
    assert "no run is named" in capsys.readouterr().err
