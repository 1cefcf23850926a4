"""Every exception that this project raises on purpose.

    SearchError                     anything below
    ├── UserError                   the user can correct it: one line, exit status 2
    │   ├── ConfigError             a setting, an override or a configuration file
    │   ├── TaskError               a task that cannot be loaded or breaks its contract
    │   ├── DataError               a data set with something missing, damaged or out of range
    │   ├── WeightsError            a weight file that is missing, damaged or unsafe
    │   ├── RunFolderError          a run folder that cannot be made, read or resumed
    │   └── StorageError            a storage that cannot be opened, or is unreachable for too long
    ├── TrialError                  one trial cannot be finished; the search continues
    ├── ExportError                 a model cannot be written in another format: exit status 1
    └── StudyError                  the study cannot be finished: exit status 1

They are in `spaces` because every other package may import it.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable

# Greatest length of a printed error: four lines of a terminal 80 characters wide. A guess.
LINE = 300
# Greatest length of a value in it, so that what is allowed still fits. A guess.
VALUE = 60


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean NAME?" for the known name nearest to a mistyped one, or ""."""
    nearest = difflib.get_close_matches(name, [*known], n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def printable(text: str) -> str:
    """Return the text without characters that a terminal would obey instead of print.

    Newlines, tabs and spaces stay. Control characters, marks that change the direction of writing,
    and lone surrogates become Python escapes.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t\u00a0" else ascii(c)[1:-1] for c in text)


def short(text: str, limit: int = LINE) -> str:
    """Return a text as one printable line of at most `limit` characters.

    A longer text loses its middle: its start says what is wrong and its end what to do.
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
        # Python refuses to write an integer of more than 4300 digits.
        text = f"a value of type {type(value).__name__}"
    return short(text, limit)


def one_line(error: BaseException, limit: int = LINE) -> str:
    """Return an exception's message as one printable line of at most `limit` characters.

    Paddle puts its own traceback before the message, so the first line with the word "error" is
    taken.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()] or lines or ["no message"]
    return printable(f"{type(error).__name__}: {errors[0]}")[:limit]


class SearchError(Exception):
    """Base of all exceptions raised on purpose."""


class UserError(SearchError):
    """A mistake the user can correct. The message has the value, what is allowed, what to do."""


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
    """A storage that cannot be opened or written to, or that is unreachable for too long."""


class TrialError(SearchError):
    """A trial that cannot be finished; the message becomes its `reason`."""


class ExportError(SearchError):
    """A model that cannot be written in the format asked for."""


class StudyError(SearchError):
    """No model can be delivered: every trial failed, or none was within the budget."""
