"""The files of a report: a page and PNG files, here and on the run's storage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from clusters.storage import join
from search.console import Display
from search.records.folder import Folder
from search.records.run_folder import RunFolder
from search.reporting.findings import Findings, read_findings
from search.reporting.page import comparison_page, run_page
from search.reporting.pictures import draw_pictures
from spaces.errors import RunFolderError

PAGE = "report.html"
PICTURES = "report"
COMPARISON = "comparison.html"


def write_report(findings: Findings, address: str, out: Path) -> Path:
    """Return the page of a run, written into a folder with a folder of PNG files beside it.

    Commands on the page name the run by `address`.
    """
    folder = Folder(out)
    folder.write(PAGE, run_page(findings, address).encode())
    for name, picture in draw_pictures(findings):
        folder.write(f"{PICTURES}/{name}.png", picture)
    return out / PAGE


def report_run(run: RunFolder, display: Display) -> None:
    """Persist the page and the PNG files in the run's folder, and upload them to its storage."""
    page = write_report(read_findings(str(run.path)), run.address, run.path)
    storage = run.folder.storage
    if storage is not None:
        for file in (page, *(run.path / PICTURES).glob("*.png")):
            storage.write(str(file.relative_to(run.path)), file.read_bytes())
    display.say(f"report: {join(run.address, PAGE)}")


def write_page(findings: Sequence[Findings], runs: Sequence[str], out: Path | None) -> Path:
    """Return the page of one run, or of several side by side.

    `runs` are the runs' addresses. By default one run's page goes to its folder, several runs' to
    the current one. Raises RunFolderError for a folder that cannot be written to.
    """
    target = out if out is not None else findings[0].path
    try:
        target.mkdir(parents=True, exist_ok=True)
        if len(findings) == 1:
            return write_report(findings[0], runs[0], target)
        page = (out or Path()) / COMPARISON
        Folder(page.parent).write(COMPARISON, comparison_page(findings).encode())
        return page
    except OSError as error:
        raise RunFolderError(
            f"folder {target}: cannot be written to ({error.strerror}); name another with --out"
        ) from error
