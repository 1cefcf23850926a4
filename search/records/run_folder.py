"""The run folder: who may write to it, and what each stage has left there."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from clusters.files import SharedFiles
from clusters.owner import OWNER, Ownership
from clusters.storage import join
from search.config import RunConfig, build_config, read_config_file
from search.records.folder import Folder
from search.records.manifest import Manifest
from search.records.run_copy import STAGES, copy_run, node_name
from search.records.stage_files import check_stages, read_json, stage_kind
from search.records.tables import SCHEMAS
from spaces.errors import ConfigError, RunFolderError
from spaces.plan import Plan
from trainables.files.codec import PlanField, encode
from trainables.files.node import OneFolder, RunFiles
from trainables.files.whole_file import write_whole
from trainables.settings import BASELINE, INPUTS, MODEL

CONFIG = "config.yaml"
PLAIN_CONFIG = "settings.yaml"
MANIFEST = "manifest.json"
PLAN = "plan.json"
JOURNAL = "optuna.journal"
MODEL_FILES = ("inference.pdmodel", "inference.pdiparams")
GAVE_UP = "gave_up"
"""The stage that says why a run ended without a model."""
RAY = "ray"
"""What Ray Tune and Ray Train keep while they work; deleted when a run is finished."""
STAGES_FORMAT = 3
"""Of what stages leave in a run folder; one more whenever a run of before cannot be carried on."""


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    Folder(path.parent).keep(path.name, text.encode())


def read_config(path: Path) -> RunConfig:
    """Return the configuration of the run, or of the plan applied, in this folder."""
    name = PLAIN_CONFIG if (path / PLAIN_CONFIG).is_file() else CONFIG
    try:
        return build_config(read_config_file(path / name), [], {})
    except ConfigError as error:
        raise RunFolderError(
            f"run folder {path}: its {name} cannot be used ({error}); restore it"
        ) from error


def delivered_plan(run: Path) -> Plan:
    """Return the plan of the model in a folder. Raises RunFolderError if none is delivered."""
    plan = run / PLAN
    if not (run / "model").is_dir() or not plan.is_file():
        raise RunFolderError(f"folder {run}: holds no delivered model; name that of a finished run")
    found: Plan = read_json(plan, PlanField)
    return found


def is_run_folder(path: Path) -> bool:
    """Return whether a folder is that of a run, or of a plan applied."""
    searched = (path / STAGES).is_dir() and (path / CONFIG).is_file()
    return searched or ((path / PLAIN_CONFIG).is_file() and (path / ".lock").is_file())


class RunFolder:
    """One study's folder. Open it with search/records/opening.py, which keeps all others out.

    With a storage the folder is there, and `path` is this machine's copy of what it needs.
    """

    def __init__(self, path: Path, ownership: Ownership | None = None) -> None:
        self.path, self._ownership = path, ownership
        self._lock = FileLock(path / ".lock")
        self.folder = Folder(path, ownership)

    @property
    def address(self) -> str:
        """What a later command names the run by."""
        storage = self.folder.storage
        return storage.uri if storage is not None else str(self.path)

    @property
    def model_address(self) -> str:
        """Where the delivered model is, or will be."""
        return join(self.address, MODEL)

    def how_to_carry_on(self) -> str:
        """Return what to do with a run that was interrupted at this moment."""
        if self.finished:
            return f"its model is delivered, in {self.model_address}"
        return f"carry on with --resume {shlex.quote(self.address)}"

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

    def pull(self) -> None:
        """Have this machine's copy be what storage holds; nothing else was told to anyone."""
        assert self.folder.storage is not None
        # Made again from the tables: another machine may have gone on.
        (self.path / JOURNAL).unlink(missing_ok=True)
        copy_run(self.folder.storage, self.path, (CONFIG,))

    def acquire(self) -> None:
        """Keep all others out. Raises RunFolderError if one is in, or it cannot be written to."""
        for name in (".lock", JOURNAL):
            if (self.path / name).is_symlink():
                raise RunFolderError(
                    f"run folder {self.path}: {name} is a link, which this program makes none of; "
                    "remove it"
                )
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise RunFolderError(
                f"run folder {self.path}: another process is working in it{self._who()}; "
                "wait for it to end"
            ) from error
        except OSError as error:
            raise RunFolderError(
                f"run folder {self.path}: not writable ({error.strerror}); "
                "name a folder you may write to with --out"
            ) from error
        write_whole(self._owner_note, f"process {os.getpid()}".encode())

    @property
    def _owner_note(self) -> Path:
        return self.path / ".owner"

    def _who(self) -> str:
        note = self._owner_note
        return f" ({note.read_text()})" if note.is_file() else ""

    def held(self) -> list[str]:
        """Return the names of what the folder holds, beyond what says who works in it."""
        storage = self.folder.storage
        if storage is not None:
            return [name for name in storage.names() if name != OWNER]
        names = sorted(path.name for path in self.path.iterdir())
        # Hidden files are a file system's, or our own lock; a disk of its own has lost+found.
        return [name for name in names if not name.startswith(".") and name != "lost+found"]

    def discard(self) -> None:
        """Forget a run that ended before it had anything: the folder can then be used again."""
        if self.stage("baseline") is None:
            for name in (CONFIG, PLAIN_CONFIG):
                self.folder.drop(name)
            for name in (STAGES, *SCHEMAS, BASELINE, INPUTS, RAY):
                self.forget(name)

    def release(self) -> None:
        if self._ownership is not None:
            self._ownership.release()
        self._lock.release()

    @property
    def manifest(self) -> Manifest | None:
        """The manifest of a finished run, None of another."""
        path = self.path / MANIFEST
        found: Manifest | None = read_json(path, Manifest) if path.is_file() else None
        return found

    @property
    def finished(self) -> bool:
        return (self.path / MANIFEST).is_file()

    def keep_text(self, name: str, text: str) -> None:
        """Write a file whole or not at all, and on storage too if that is where the run is."""
        self.folder.keep(name, text.encode())

    def keep_journal(self) -> None:
        """Have Optuna's journal on storage too, for whoever looks at it there."""
        storage, journal = self.folder.storage, self.path / JOURNAL
        if storage is not None and journal.is_file():
            storage.write(JOURNAL, journal.read_bytes())

    def forget(self, name: str) -> None:
        """Delete a folder of the run's that nobody needs any more."""
        storage = self.folder.storage
        if storage is not None:
            storage.delete_folder(name)
        shutil.rmtree(self.path / name, ignore_errors=True)

    def stage(self, name: str) -> Any | None:
        """Return what a finished stage left, None if it has not finished.

        Raises RunFolderError, naming the file, if it was damaged.
        """
        path = self.path / STAGES / f"{name}.json"
        return read_json(path, stage_kind(name)) if path.is_file() else None

    def check_stages(self) -> None:
        """Raise RunFolderError if what any stage left was damaged, or does not go together."""
        folder = self.path / STAGES
        names = [path.relative_to(folder).with_suffix("") for path in folder.rglob("*.json")]
        found = {name.as_posix(): self.stage(name.as_posix()) for name in sorted(names)}
        check_stages(folder, found)

    def forget_stage(self, name: str) -> None:
        """Have a resumed run do a stage again whose outcome was of no use."""
        self.folder.drop(f"{STAGES}/{name}.json")

    def finish_stage(self, name: str, outcome: Any) -> None:
        """Keep what a stage found: a resumed run does not repeat it."""
        self.keep_text(f"{STAGES}/{name}.json", encode(stage_kind(name), outcome, indent=1))


def run_once(run: RunFolder, stage: str, compute: Callable[[], Any]) -> Any:
    """Return a stage's outcome: what it left if it has finished before, else what it finds."""
    known = run.stage(stage)
    if known is None:
        known = compute()
        run.finish_stage(stage, known)
    return known
