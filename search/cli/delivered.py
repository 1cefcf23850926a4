"""A delivered model, in a folder of this machine or downloaded from storage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from clusters.files import SharedFiles
from clusters.storage import is_uri
from search.config import RunConfig
from search.context import trial_settings
from search.records.manifest import digests
from search.records.opening import local_copy
from search.records.run_folder import RunFolder, delivered_plan, read_config
from spaces.errors import RunFolderError
from spaces.plan import Plan
from trainables.deployment.exported import PADDLE_FILES
from trainables.files.node import OneFolder, RunFiles
from trainables.settings import BASELINE, MODEL, SELECTIONS, TrialSettings, user_path


@dataclass(frozen=True)
class Delivered:
    """A delivered model, with what is needed to load it."""

    folder: Path
    """The files, on this machine."""
    config: RunConfig
    plan: Plan
    settings: TrialSettings
    files: RunFiles

    @property
    def models(self) -> list[str]:
        """The folders of the baseline's export and of the delivered one."""
        return [str(self.folder / name) for name in (BASELINE, MODEL)]


def _selection(address: str) -> tuple[str, str]:
    """Return the run's address, and its selection that the address names: "" for the run itself."""
    path, question, options = address.partition("?")
    run, found, name = path.rstrip("/").rpartition(f"/{SELECTIONS}/")
    return (f"{run}{question}{options}", f"{SELECTIONS}/{name}/") if found else (address, "")


def run_settings(config: RunConfig, run: RunFolder) -> TrialSettings:
    """Return the workers' settings for a run that is only read."""
    return trial_settings(config, run).having(shipped=run.stage("inputs") or {})


def open_delivered(address: str) -> Delivered:
    """Return the delivered model of a finished run, of one of its selections, or of an applied
    plan.

    `address` is its folder, or its URI. Raises RunFolderError if there is none, or if a file
    is missing or damaged.
    """
    files: RunFiles
    if is_uri(address):
        run, part = _selection(address)
        path = local_copy(run, part)
        files = SharedFiles(run)
        for name in (MODEL, BASELINE):
            files.fetch(path, f"{part}{name}")
        folder = path / part
    else:
        path = folder = user_path(address).absolute()
        files = OneFolder()
    plan, config = delivered_plan(folder), read_config(folder)
    manifest = RunFolder(folder).manifest
    expected = manifest.sha256 if manifest is not None else {}
    files_of_engine = manifest.engine_files if manifest is not None else ()
    names = [f"{model}/{name}" for model in (MODEL, BASELINE) for name in PADDLE_FILES]
    names += [f"{MODEL}/{name}" for name in files_of_engine if name not in PADDLE_FILES]
    check_files(folder, names, expected)
    # These commands load the task in their own process, so Ray sends no folder.
    settings = run_settings(config, RunFolder(path)).having(task_folder_sent=False)
    return Delivered(folder, config, plan, settings, files)


def check_files(folder: Path, names: Sequence[str], expected: dict[str, str]) -> None:
    """Raise RunFolderError if a file is missing, or does not have its digest."""
    for name in names:
        path = folder / name
        if not path.is_file():
            raise RunFolderError(f"folder {folder}: {name} is missing; restore it")
        if name in expected and digests(folder, [path])[name] != expected[name]:
            raise RunFolderError(
                f"folder {folder}: {name} is not the file that was delivered: its sha256 is "
                "not the manifest's; restore it"
            )
