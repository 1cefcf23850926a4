"""The working folder that Ray sends to every node: what goes with it, and whether it fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from clusters.ray_quirks import job_config, walk_sent_files
from spaces.errors import ConfigError

# Bytes of one message of Ray's control store, which the folder has to fit in.
LARGEST_BYTES = 512 * 2**20
# Counting stops here: a folder this large is refused in any case. A guess.
COUNTED_BYTES = 20 * LARGEST_BYTES
# What tools leave in a project, at any depth. Ray leaves out .git, .venv, venv and __pycache__.
CACHES = (
    ".git",
    "__pycache__",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    ".import_linter_cache",
    ".ipynb_checkpoints",
    "*.egg-info",
    "node_modules",
)
# Files that mark the root of a virtual or conda environment.
ENVIRONMENT_MARKS = ("pyvenv.cfg", "conda-meta/history")
# In a clone these hide the installed packages, so their data files have to be sent too.
PACKAGES = ("search", "trainables", "spaces", "clusters")
# Largest entries that a refusal names.
NAMED = 3


class _EnoughError(Exception):
    """Counting can stop: the folder is too large."""


def job_environment() -> dict[str, Any]:
    """Return the runtime environment of the Ray job that this process is; empty outside of one."""
    found: dict[str, Any] = job_config().get("runtime_env") or {}
    return found


def beyond_the_job(environment: Mapping[str, Any], job: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a runtime environment that the job has not set: Ray refuses both."""
    ours = {key: value for key, value in environment.items() if key not in job}
    if "working_dir" in job:
        # They belong to our own working folder, which is then not sent.
        ours.pop("excludes", None)
    if "env_vars" in environment:
        theirs = job.get("env_vars", {})
        ours["env_vars"] = {k: v for k, v in environment["env_vars"].items() if k not in theirs}
    return ours


def _is_environment(path: Path) -> bool:
    return any((path / mark).is_file() for mark in ENVIRONMENT_MARKS)


def _anchored(path: Path, folder: Path) -> str:
    """Return the .gitignore pattern of this one path."""
    name = path.relative_to(folder).as_posix()
    return "/" + "".join(f"\\{letter}" if letter in "\\*?[]! " else letter for letter in name)


def with_excludes(
    environment: Mapping[str, Any], is_run: Callable[[Path], bool] = lambda _: False
) -> dict[str, Any]:
    """Return a runtime environment that excludes what no node needs of a local working folder.

    Excluded are virtual environments, caches and the folders of runs, as `is_run` recognises them.
    All other files are sent, also those that git ignores: a task's code may read them. Raises
    ConfigError if they are more than Ray sends.
    """
    folder = environment.get("working_dir")
    if not isinstance(folder, (str, Path)) or not Path(folder).is_dir():
        return dict(environment)
    root = Path(folder).absolute()
    packages = [f"!/{name}/**" for name in PACKAGES if (root / name / "__init__.py").is_file()]
    # Later patterns override earlier ones.
    given = [*(environment.get("excludes") or []), *packages, *CACHES]
    excluded: list[str] = []
    sizes: Counter[str] = Counter()

    def not_needed(path: Path) -> bool:
        if path == root or not path.is_dir() or not (_is_environment(path) or is_run(path)):
            return False
        excluded.append(_anchored(path, root))
        return True

    def count(path: Path) -> None:
        if path.is_file():
            sizes[path.relative_to(root).parts[0]] += path.stat().st_size
            if sizes.total() > COUNTED_BYTES:
                raise _EnoughError

    try:
        walk_sent_files(root, given, not_needed, count)
    except _EnoughError:
        pass
    except OSError as error:
        raise ConfigError(
            f"working folder {root}: {error.filename} cannot be read ({error.strerror}); "
            "name it in .rayignore there, or start from another folder"
        ) from error
    check_size(root, sizes)
    return {**environment, "working_dir": str(root), "excludes": [*given, *excluded]}


def check_size(folder: Path, sizes: Counter[str]) -> None:
    """Raise ConfigError if the bytes of a folder's entries are more than Ray sends."""
    if sizes.total() < LARGEST_BYTES:
        return
    most = ", ".join(f"{name} {size / 2**20:,.0f} MB" for name, size in sizes.most_common(NAMED))
    raise ConfigError(
        f"working folder {folder}: Ray sends at most {LARGEST_BYTES / 2**20:.0f} MB to the nodes, "
        f"and it holds more ({most}); list what is not needed in its .rayignore, or start from "
        "another folder"
    )
