"""A run folder that came from elsewhere: nothing is written through its links."""

import pytest

from search.cli.parser import run_command
from search.records.opening import resume_run
from search.records.run_folder import JOURNAL, RunFolder
from search.report import build_parser, main
from spaces.errors import RunFolderError
from tests.search.commands import ray_starts
from tests.search.made_run import make_run


@pytest.fixture
def outside(tmp_path):
    """A folder with a file that is not the run's."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "mine").write_text("mine")
    return folder


@pytest.fixture
def run(tmp_path):
    return make_run(tmp_path / "run", 2)


def untouched(outside):
    return [p.name for p in outside.iterdir()] == ["mine"] and (
        outside / "mine"
    ).read_text() == "mine"


@pytest.mark.parametrize("target", ["mine", "new"])
def test_a_report_replaces_links_in_its_place(run, outside, target):
    (run / "report").mkdir()
    written = ("report.html", "report/front.png")
    for name in written:
        (run / name).symlink_to(outside / target)
        path = (run / name).with_name(f".{(run / name).name}.tmp")
        path.symlink_to(outside / target)
    assert main([str(run)]) == 0
    assert untouched(outside)
    assert all((run / name).is_file() and not (run / name).is_symlink() for name in written)


def test_a_report_writes_into_no_folder_that_is_a_link(run, outside, capsys):
    (run / "report").symlink_to(outside)
    assert main([str(run)]) == 2
    assert "report is a link" in capsys.readouterr().err
    assert untouched(outside)


@pytest.mark.parametrize("name", [".lock", ".owner", JOURNAL, "stages", "trials"])
def test_a_run_is_not_carried_on_through_links(run, outside, name, monkeypatch, capsys):
    monkeypatch.setattr("ray.init", ray_starts)
    path = run / name
    if path.is_dir():
        path.rename(run / f"{name}-before")
        path.symlink_to(run / f"{name}-before", target_is_directory=True)
    else:
        path.symlink_to(outside / "mine")

    def carry_on(given):
        found, _ = resume_run(run)
        found.write_text("stages/seconds.json", "{}")
        found.write_text("trials/000000.parquet", "")
        found.release()
        return 0

    status = run_command(build_parser, carry_on, [])
    assert untouched(outside)
    if name == ".owner":
        # A note of who works in it, which is replaced.
        assert status == 0 and not path.is_symlink()
    else:
        assert status == 2 and f"{name} is a link" in capsys.readouterr().err


def test_what_cannot_be_written_is_one_line(run):
    folder = RunFolder(run)
    (run / "stages" / "seconds.json").unlink()
    (run / "stages" / "seconds.json").mkdir()
    with pytest.raises(RunFolderError, match=r"stages/seconds\.json cannot be written") as caught:
        folder.finish_stage("seconds", {})
    assert "\n" not in str(caught.value)
