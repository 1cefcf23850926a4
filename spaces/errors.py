"""Every exception that this project raises on purpose.

    SearchError                     anything below
    ├── UserError                   mended by the user: one line, exit status 2
    │   ├── ConfigError             a setting, an override or a configuration file
    │   ├── TaskError               a task that cannot be loaded or breaks its contract
    │   ├── DataError               a data set with something missing, damaged or out of range
    │   ├── WeightsError            a weight file that is missing, damaged or unsafe
    │   ├── RunFolderError          a run folder that cannot be made, read or resumed
    │   └── StorageError            a storage that cannot be opened, or stays away for too long
    ├── TrialError                  one trial cannot be finished; the search goes on
    ├── ExportError                 a model cannot be written in another format: exit status 1
    └── StudyError                  the study cannot be finished: exit status 1

They live here because every other package may depend on `spaces`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean NAME?" for the known name nearest to a mistyped one, or ""."""
    nearest = difflib.get_close_matches(name, [*known], n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def one_line(error: BaseException, limit: int = 300) -> str:
    """Return what an exception says as one line of at most `limit` characters.

    Paddle puts a traceback of its own before the message; the first line that speaks
    of an error is the telling one.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower()] or lines or ["no message"]
    return f"{type(error).__name__}: {telling[0]}"[:limit]


class SearchError(Exception):
    """Base of all exceptions raised on purpose."""


class UserError(SearchError):
    """A mistake the user can mend. The message names the value, what is allowed, the mend."""


class ConfigError(UserError):
    """A setting that is unknown or outside what is allowed."""


class TaskError(UserError):
    """A task that cannot be loaded, or that breaks the Task contract."""


class DataError(UserError):
    """A data set in which something is missing, damaged or out of range."""


class WeightsError(UserError):
    """A weight file that is missing, damaged, or holds more than arrays."""


class RunFolderError(UserError):
    """A run folder that cannot be made, read or resumed."""


class StorageError(UserError):
    """A storage that cannot be opened or written to, or that stays away for too long."""


class TrialError(SearchError):
    """One plan cannot be carried through; the message becomes the trial's `reason`."""


class ExportError(SearchError):
    """A model that cannot be written in the format asked for."""


class StudyError(SearchError):
    """No model can be delivered: every trial failed, or none kept the budget."""
