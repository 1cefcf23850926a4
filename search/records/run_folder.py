"""The run folder: what each stage of a study leaves there, here and on storage."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from clusters.files import SharedFiles
from clusters.owner import OWNER, Ownership
from clusters.storage import join
from search.config import RunConfig, build_config, of_older_version, read_config_file
from search.records.folder import Folder
from search.records.manifest import Manifest
from search.records.run_copy import STAGES, copy_run, node_name
from search.records.run_lock import LOCK, RunLock
from search.records.stage_files import check_stages, read_json, stage_kind
from search.records.tables import SCHEMAS
from spaces.errors import ConfigError, RunFolderError
from spaces.plan import Plan
from trainables.files.codec import PlanField, encode
from trainables.files.node import OneFolder, RunFiles
from trainables.settings import BASELINE, INPUTS, MODEL

CONFIG = "config.yaml"
PLAIN_CONFIG = "settings.yaml"
"""The configuration of what is no study: a plan applied, a model selected."""
MANIFEST = "manifest.json"
PLAN = "plan.json"
JOURNAL = "optuna.journal"
GAVE_UP = "gave_up"
"""The stage that says why a run ended without a model."""
RAY = "ray"
"""Files of Ray Tune and Ray Train, deleted when the run is finished."""
STAGES_FORMAT = 4
"""Version of the stage files: one more whenever an older run cannot be resumed."""


class RunFolder:
    """One run's folder. Open it with search/records/opening.py, which locks all others out.

    - **Where it is**: `path`, `address`, `model_address`, `node_path`, `files` (for workers).
    - **Who may write**: the process that `acquire`d it or owns it on storage, until `release`.
    - **What is in it**: `content`, `stage`, `check_stages`, `manifest`, `finished`.
    - **What is written**: `finish_stage`, `forget_stage`, `write_text`, `upload_journal`,
      `delete_folder`, `discard`.

    A run on storage has its folder there; `path` is this machine's copy of what it needs.
    """

    def __init__(self, path: Path, ownership: Ownership | None = None) -> None:
        self.path, self._ownership = path, ownership
        self.folder = Folder(path, ownership)
        self._lock = RunLock(path)

    @property
    def address(self) -> str:
        """What a later command names the run by: its folder or URI."""
        storage = self.folder.storage
        return storage.uri if storage is not None else str(self.path)

    @property
    def model_address(self) -> str:
        """Where the delivered model is, or will be."""
        return join(self.address, MODEL)

    @property
    def node_path(self) -> str:
        """Where the run's files are on a node, as `TrialSettings.run_folder`."""
        storage = self.folder.storage
        return node_name(storage.uri) if storage is not None else str(self.path)

    @property
    def files(self) -> RunFiles:
        """How workers share the run's files."""
        storage = self.folder.storage
        return OneFolder() if storage is None else SharedFiles(storage.uri, storage.patience_s)

    def how_to_carry_on(self) -> str:
        """Return what to do with a run that is interrupted now."""
        if self.finished:
            return f"its model is delivered, in {self.model_address}"
        return f"carry on with --resume {shlex.quote(self.address)}"

    def acquire(self) -> None:
        """Lock all others out. Raises RunFolderError if another process works in the folder, or it
        is not writable.
        """
        for name in (LOCK, JOURNAL):
            if (self.path / name).is_symlink():
                raise RunFolderError(
                    f"run folder {self.path}: {name} is a link, and this program makes no links; "
                    "remove it"
                )
        self._lock.acquire()

    def release(self) -> None:
        """Let others in."""
        if self._ownership is not None:
            self._ownership.release()
        self._lock.release()

    def pull(self) -> None:
        """Replace this machine's copy by what storage has: another machine may have gone on."""
        assert self.folder.storage is not None
        # It is made from the tables.
        (self.path / JOURNAL).unlink(missing_ok=True)
        copy_run(self.folder.storage, self.path, (CONFIG,))

    def content(self) -> list[str]:
        """Return the names of what the folder holds, without its lock or owner."""
        storage = self.folder.storage
        if storage is not None:
            return [name for name in storage.names() if name != OWNER]
        names = sorted(path.name for path in self.path.iterdir())
        # Hidden files are our lock or the file system's, and so is lost+found.
        return [name for name in names if not name.startswith(".") and name != "lost+found"]

    def stage(self, name: str, kind: Any = None) -> Any | None:
        """Return what a finished stage left, None if it has not finished.

        `kind` is its type, if stage_files.py does not name it. Raises RunFolderError, naming the
        file, if it is damaged.
        """
        path = self.path / STAGES / f"{name}.json"
        return read_json(path, kind or stage_kind(name)) if path.is_file() else None

    def check_stages(self) -> None:
        """Raise RunFolderError if what the stages left is damaged, or of different runs."""
        folder = self.path / STAGES
        names = [path.relative_to(folder).with_suffix("") for path in folder.rglob("*.json")]
        found = {name.as_posix(): self.stage(name.as_posix()) for name in sorted(names)}
        check_stages(folder, found)

    def finish_stage(self, name: str, outcome: Any, kind: Any = None) -> None:
        """Persist what a stage found: a resumed run does not repeat it. `kind`: see `stage`."""
        text = encode(kind or stage_kind(name), outcome, indent=1)
        self.write_text(f"{STAGES}/{name}.json", text)

    def forget_stage(self, name: str) -> None:
        """Have a resumed run repeat a stage."""
        self.folder.delete(f"{STAGES}/{name}.json")

    @property
    def manifest(self) -> Manifest | None:
        """The manifest of a finished run, None before."""
        path = self.path / MANIFEST
        found: Manifest | None = read_json(path, Manifest) if path.is_file() else None
        return found

    @property
    def finished(self) -> bool:
        return (self.path / MANIFEST).is_file()

    def write_text(self, name: str, text: str) -> None:
        """Write a file whole or not at all, and on storage too if the run is there."""
        self.folder.write(name, text.encode())

    def upload_journal(self) -> None:
        """Copy Optuna's journal to storage, for those who look at the run there."""
        storage, journal = self.folder.storage, self.path / JOURNAL
        if storage is not None and journal.is_file():
            storage.write(JOURNAL, journal.read_bytes())

    def delete_folder(self, name: str) -> None:
        """Delete a folder of the run, here and on storage."""
        storage = self.folder.storage
        if storage is not None:
            storage.delete_folder(name)
        shutil.rmtree(self.path / name, ignore_errors=True)

    def discard(self) -> None:
        """Empty the folder of a run that ended before its baseline; it can then be used again."""
        if self.stage("baseline") is None:
            for name in (CONFIG, PLAIN_CONFIG):
                self.folder.delete(name)
            for name in (STAGES, *SCHEMAS, BASELINE, INPUTS, RAY):
                self.delete_folder(name)


def run_once(run: RunFolder, stage: str, compute: Callable[[], Any], kind: Any = None) -> Any:
    """Return what a stage left if it has finished, else compute and persist it.

    `kind`: see `RunFolder.stage`.
    """
    known = run.stage(stage, kind)
    if known is None:
        known = compute()
        run.finish_stage(stage, known, kind)
    return known


def is_run_folder(path: Path) -> bool:
    """Return whether a folder is that of a run, or of a plan applied."""
    searched = (path / STAGES).is_dir() and (path / CONFIG).is_file()
    return searched or ((path / PLAIN_CONFIG).is_file() and (path / LOCK).is_file())


def _config_name(path: Path) -> str:
    return PLAIN_CONFIG if (path / PLAIN_CONFIG).is_file() else CONFIG


def write_config(run: RunFolder, config: RunConfig) -> None:
    """Replace the configuration of a run, or of a plan that is applied."""
    run.write_text(_config_name(run.path), yaml.safe_dump(config.model_dump(mode="json")))


def read_config(path: Path) -> RunConfig:
    """Return the configuration of the run, or of the plan applied, in this folder."""
    name = _config_name(path)
    try:
        return build_config(of_older_version(read_config_file(path / name)), [], {})
    except ConfigError as error:
        raise RunFolderError(
            f"run folder {path}: its {name} cannot be used ({error}); restore it"
        ) from error


def delivered_plan(run: Path) -> Plan:
    """Return the plan of the model in a folder. Raises RunFolderError if it holds none."""
    plan = run / PLAN
    if not (run / MODEL).is_dir() or not plan.is_file():
        raise RunFolderError(f"folder {run}: holds no delivered model; name that of a finished run")
    found: Plan = read_json(plan, PlanField)
    return found
