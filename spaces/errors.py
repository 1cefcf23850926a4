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
import reprlib
from collections.abc import Iterable

# Characters of a line that is printed for an error: four lines of a terminal 80 wide.
LINE = 300
# Characters of a value within such a line: the rest of the line says what is allowed.
VALUE = 60


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean NAME?" for the known name nearest to a mistyped one, or ""."""
    nearest = difflib.get_close_matches(name, [*known], n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def printable(text: str) -> str:
    """Return a text whose characters only print: a terminal obeys no escape sequence in it.

    Newlines, tabs and spaces stay. Control characters, marks that change the direction of writing
    and halves of characters are written as Python escapes.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t\u00a0" else ascii(c)[1:-1] for c in text)


def short(text: str, limit: int = LINE) -> str:
    """Return a text as one printable line of at most `limit` characters.

    A longer one loses its middle: it begins with what is wrong and ends with what to do.
    """
    line = printable(" ".join(text.split()))
    if len(line) <= limit:
        return line
    tail = limit // 3
    return f"{line[: limit - tail - 3]}...{line[-tail:]}"


def shown(value: object, limit: int = VALUE) -> str:
    """Return a value as Python writes it, shortened. Large containers are not written out."""
    writer = reprlib.Repr()
    writer.maxstring = writer.maxother = writer.maxlong = limit
    try:
        text = writer.repr(value)
    except ValueError:
        # Python writes no whole number of more than 4300 digits.
        text = f"a value of type {type(value).__name__}"
    return short(text, limit)


def one_line(error: BaseException, limit: int = LINE) -> str:
    """Return what an exception says as one printable line of at most `limit` characters.

    Paddle puts a traceback of its own before the message; the first line that speaks
    of an error is the telling one.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.lower()] or lines or ["no message"]
    return printable(f"{type(error).__name__}: {telling[0]}")[:limit]


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
