"""How a run folder is made, resumed, or copied here to be read.

The process that makes or resumes one holds it until it releases it: no other may write there.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import yaml

from clusters.owner import Ownership
from clusters.storage import Storage, is_uri, join
from search.config import RunConfig, build_config, parse_config
from search.records.folder import empty_folder
from search.records.run_copy import STAGES, copy_run, make_folder, node_name
from search.records.run_folder import (
    CONFIG,
    MANIFEST,
    PLAIN_CONFIG,
    PLAN,
    STAGES_FORMAT,
    RunFolder,
)
from spaces.errors import ConfigError, RunFolderError
from trainables.settings import node_cache, user_path


def create_run(config: RunConfig, say: Callable[[str], None] | None = None) -> RunFolder:
    """Return a new run folder with the configuration in it, held by this process.

    Raises RunFolderError if it cannot be made, or is not empty.
    """
    on_storage = config.storage is not None
    folder = _make_on_storage(config, say) if on_storage else _make(config, "runs")
    found = folder.content()
    if found:
        folder.release()
        raise RunFolderError(
            f"run folder {folder.address}: holds a run already; carry it on with --resume "
            f"{shlex.quote(folder.address)}, or name another with --out"
            if CONFIG in found
            # Its files could pass for the run's own: a model there would be delivered.
            else f"run folder {folder.address}: is not empty ({found[0]} is there); name "
            "another with --out"
        )
    if folder.folder.storage is not None:
        empty_folder(folder.path)
    folder.finish_stage("format", STAGES_FORMAT)
    folder.write_text(CONFIG, yaml.safe_dump(config.model_dump(mode="json")))
    return folder


def create_plain(config: RunConfig) -> RunFolder:
    """Return an empty folder, held by this process, for what is no study and cannot be resumed.

    Raises RunFolderError if it cannot be made, or is not empty.
    """
    if config.storage is not None:
        raise ConfigError("storage is for a search; leave it out, and name a folder with --out")
    folder = _make(config, "applied")
    found = folder.content()
    if found:
        folder.release()
        raise RunFolderError(
            f"folder {folder.path}: is not empty ({found[0]} is there); name another with --out"
        )
    folder.write_text(PLAIN_CONFIG, yaml.safe_dump(config.model_dump(mode="json")))
    return folder


def _make(config: RunConfig, parent: str) -> RunFolder:
    path = user_path(config.out or f"{parent}/{_default_name(config)}").absolute()
    make_folder(path)
    folder = RunFolder(path)
    folder.acquire()
    return folder


def _make_on_storage(config: RunConfig, say: Callable[[str], None] | None = None) -> RunFolder:
    assert config.storage is not None
    name = config.out or _default_name(config)
    if is_uri(name) or Path(name).is_absolute():
        raise ConfigError(
            f"out cannot be {name!r}: with a storage it is the run's name within it; "
            "give a plain name with --out"
        )
    base = config.storage
    uri = join(base if is_uri(base) else str(user_path(base).absolute()), name)
    storage = Storage(uri, config.storage_patience_s, say)
    storage.create()
    return _on_storage(storage, config)


def _on_storage(storage: Storage, config: RunConfig) -> RunFolder:
    path = node_cache(config.cache) / "runs" / node_name(storage.uri)
    make_folder(path)
    return RunFolder(path, Ownership.claim(storage))


def resume_run(
    address: str | Path,
    say: Callable[[str], None] | None = None,
    *,
    finished: bool = False,
) -> tuple[RunFolder, RunConfig]:
    """Return an unfinished run, held by this process, and its configuration; with `finished`, a
    finished one.

    `address` is its folder, or its URI on storage. Raises RunFolderError if there is none, it is
    the other kind, another process works in it, or another version began it.
    """
    local = not is_uri(str(address))
    place = str(user_path(str(address)).absolute()) if local else str(address)
    storage = Storage(place, say=say)
    config = _resumable(storage, place, finished)
    if config.storage is None:
        folder = RunFolder(Path(place))
        folder.acquire()
    else:
        storage.patience_s = config.storage_patience_s
        folder = _on_storage(storage, config)
    try:
        if config.storage is not None:
            folder.pull()
        folder.check_stages()
    except BaseException:
        folder.release()
        raise
    return folder, config


def _resumable(storage: Storage, place: str, finished: bool) -> RunConfig:
    """Return the configuration of the run at a place. Raises as `resume_run` does."""
    text = storage.read(CONFIG) if storage.is_there() else None
    if text is None:
        raise RunFolderError(
            f"run folder {place}: holds no run; name the folder that an earlier run printed"
        )
    if finished and storage.read(MANIFEST) is None:
        raise RunFolderError(
            f"run folder {place}: the run is not finished; carry it on with --resume "
            f"{shlex.quote(place)}"
        )
    if not finished and storage.read(MANIFEST) is not None:
        raise RunFolderError(
            f"run folder {place}: the run is finished, its model is in {place}/model; "
            "start another with --budget"
        )
    known = storage.read(f"{STAGES}/format.json")
    if known is None or known.strip() != str(STAGES_FORMAT).encode():
        raise RunFolderError(
            f"run folder {place}: started by another version of this program, whose stage files "
            "differ; carry it on with that version, or start another with --budget"
        )
    try:
        return build_config(parse_config(text.decode(), f"{place}/{CONFIG}"), [], {})
    except (ConfigError, UnicodeDecodeError) as error:
        raise RunFolderError(
            f"run folder {place}: its {CONFIG} cannot be used ({error}); restore it"
        ) from error


def _default_name(config: RunConfig) -> str:
    task = config.task.split(":")[-1].split(".")[-1]
    return f"{datetime.now():%Y%m%d-%H%M%S}-{task}"


def local_copy(address: str, part: str = "") -> Path:
    """Return a folder of this machine with what a run has left so far; it is not held.

    `address` is the run's folder or URI. `part` is a folder of the run with a model of its own:
    empty, or ending in "/". Raises RunFolderError if there is no run.
    """
    if is_uri(address):
        path = node_cache(None) / "seen" / node_name(address)
        make_folder(path)
        more = [f"{part}{name}" for name in (PLAIN_CONFIG, MANIFEST, PLAN)] if part else []
        storage = Storage(address)
        if not storage.is_there():
            raise RunFolderError(f"run folder {address}: holds no run; name one that a run printed")
        copy_run(storage, path, (CONFIG, MANIFEST, PLAN, *more))
    else:
        path = user_path(address)
    if not (path / CONFIG).is_file():
        raise RunFolderError(f"run folder {address}: holds no run; name one that a run printed")
    return path
