"""The run folder: who may write to it, and what each stage has left there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from search.config import RunConfig, build_config, read_config_file
from spaces.errors import ConfigError, RunFolderError

CONFIG = "config.yaml"
PLAIN_CONFIG = "settings.yaml"
MANIFEST = "manifest.json"
STAGES_FORMAT = 1
"""Of what stages leave in a run folder; one more whenever a run of before cannot be carried on."""


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    temporary.replace(path)


def read_config(path: Path) -> RunConfig:
    """Return the configuration of the run, or of the plan applied, in this folder."""
    name = PLAIN_CONFIG if (path / PLAIN_CONFIG).is_file() else CONFIG
    try:
        return build_config(read_config_file(path / name), [], {})
    except ConfigError as error:
        raise RunFolderError(
            f"run folder {path}: its {name} cannot be used ({error}); restore it"
        ) from error


def delivered_plan(run: Path) -> dict[str, Any]:
    """Return the plan of the model in a folder. Raises RunFolderError if none is delivered."""
    plan = run / "plan.json"
    if not (run / "model").is_dir() or not plan.is_file():
        raise RunFolderError(f"folder {run}: holds no delivered model; name that of a finished run")
    found: dict[str, Any] = json.loads(plan.read_text())
    return found


class RunFolder:
    """One study's folder. Open it with `create` or `resume`; both take its lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path / ".lock")

    @classmethod
    def create(cls, config: RunConfig) -> RunFolder:
        """Return a new run folder with the configuration in it.

        Raises RunFolderError if it cannot be made, or already holds a run.
        """
        folder = cls._make(config, "runs")
        path = folder.path
        if (path / CONFIG).exists():
            raise RunFolderError(
                f"run folder {path}: holds a run already; carry it on with --resume {path}, "
                "or name another with --out"
            )
        folder.finish_stage("format", STAGES_FORMAT)
        write_text(path / CONFIG, yaml.safe_dump(config.model_dump(mode="json")))
        return folder

    @classmethod
    def create_plain(cls, config: RunConfig) -> RunFolder:
        """Return an empty folder for what is no study, so that none can be resumed from it.

        Raises RunFolderError if it cannot be made, or holds anything.
        """
        path = Path(config.out).expanduser() if config.out else None
        if path is not None and path.is_dir() and any(path.iterdir()):
            raise RunFolderError(f"folder {path}: is not empty; name another with --out")
        folder = cls._make(config, "applied")
        write_text(folder.path / PLAIN_CONFIG, yaml.safe_dump(config.model_dump(mode="json")))
        return folder

    @classmethod
    def _make(cls, config: RunConfig, parent: str) -> RunFolder:
        name = config.task.split(":")[-1].split(".")[-1]
        default = f"{parent}/{datetime.now():%Y%m%d-%H%M%S}-{name}"
        path = Path(config.out or default).expanduser().absolute()
        try:
            path.mkdir(parents=True, exist_ok=True)
            (path / "stages").mkdir(exist_ok=True)
        except OSError as error:
            raise RunFolderError(
                f"run folder {path}: cannot be made ({error.strerror}); "
                "name a folder you may write to with --out"
            ) from error
        if not os.access(path, os.W_OK):
            raise RunFolderError(
                f"run folder {path}: not writable; name a folder you may write to with --out"
            )
        folder = cls(path)
        folder._acquire()
        return folder

    @classmethod
    def resume(cls, path: Path) -> tuple[RunFolder, RunConfig]:
        """Return an unfinished run and its configuration.

        Raises RunFolderError if there is none, if it is finished, still going, or of a version
        whose stages left something else.
        """
        path = path.expanduser().absolute()
        if not (path / CONFIG).is_file():
            raise RunFolderError(
                f"run folder {path}: holds no run; name the folder that an earlier run printed"
            )
        folder = cls(path)
        if folder.finished:
            raise RunFolderError(
                f"run folder {path}: the run is finished, its model is in {path / 'model'}; "
                "start another with --budget"
            )
        if folder.stage("format") != STAGES_FORMAT:
            raise RunFolderError(
                f"run folder {path}: begun by another version of this program, which its stages "
                "are written for; carry it on with that one, or start another with --budget"
            )
        folder._acquire()
        return folder, read_config(path)

    def _acquire(self) -> None:
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise RunFolderError(
                f"run folder {self.path}: another process is working in it; wait for it to end"
            ) from error
        except OSError as error:
            raise RunFolderError(
                f"run folder {self.path}: not writable ({error.strerror}); "
                "name a folder you may write to with --out"
            ) from error

    def discard(self) -> None:
        """Forget a run that ended before it had anything: the folder can then be used again."""
        if self.stage("baseline") is None:
            (self.path / CONFIG).unlink(missing_ok=True)

    def release(self) -> None:
        self._lock.release()

    @property
    def manifest(self) -> dict[str, Any] | None:
        """The manifest of a finished run, None of another."""
        path = self.path / MANIFEST
        return json.loads(path.read_text()) if path.is_file() else None

    @property
    def finished(self) -> bool:
        return (self.path / MANIFEST).is_file()

    def stage(self, name: str) -> Any | None:
        """Return what a finished stage left, None if it has not finished."""
        path = self.path / "stages" / f"{name}.json"
        return json.loads(path.read_text()) if path.is_file() else None

    def finish_stage(self, name: str, outcome: Any) -> None:
        """Keep what a stage found: a resumed run does not repeat it."""
        (self.path / "stages").mkdir(exist_ok=True)
        write_text(self.path / "stages" / f"{name}.json", json.dumps(outcome, indent=1))


def run_once(run: RunFolder, stage: str, compute: Callable[[], Any]) -> Any:
    """Return a stage's outcome: what it left if it has finished before, else what it finds."""
    known = run.stage(stage)
    if known is None:
        known = compute()
        run.finish_stage(stage, known)
    return known
