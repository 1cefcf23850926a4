"""Shared by all commands: the parser, the types of flags, errors and exit statuses."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from search.cli.interrupts import interruptible
from spaces.errors import ConfigError, SearchError, UserError, did_you_mean, short, shown

# Largest whole number of a flag: counts and bytes are int64 in the tables.
LARGEST = 2**63 - 1


class Parser(argparse.ArgumentParser):
    """Raises ConfigError where argparse would print its usage and exit."""

    def error(self, message: str) -> NoReturn:
        _, found, mistyped = message.partition("unrecognized arguments: ")
        nearest = ""
        if found and mistyped.startswith("--"):
            nearest = did_you_mean(mistyped.split()[0].partition("=")[0], self._flags())
        raise ConfigError(f"{message}{nearest or ';'} {self.prog} --help lists what is allowed")

    def _flags(self) -> list[str]:
        """Return the flags of the command, and of its subcommands."""
        flags = [flag for action in self._actions for flag in action.option_strings]
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                flags += [flag for one in action.choices.values() for flag in one._flags()]
        return flags


def command_parser(
    name: str, about: str | None, epilog: str | None = None
) -> argparse.ArgumentParser:
    """Return the parser of the command `search/NAME.py`; `about` is its module's docstring."""
    module, script = f"python -m search.{name}", f"slimsearch {name.replace('_', '-')}"
    prog, other = (script, module) if _by_script() else (module, script)
    return Parser(
        prog=prog,
        description=(about or "").split("\n\n")[0],
        epilog="\n\n".join(filter(None, [epilog, f"The same command: {other}"])),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _by_script() -> bool:
    """Return whether the process was started by the console script, not by `python -m`."""
    return Path(sys.argv[0]).stem == "slimsearch"


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a number") from error


def share(text: str) -> float:
    """Return a number from 0 to below 1."""
    value = _number(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 0 to below 1")
    return value


def positive(text: str) -> float:
    """Return a finite number above 0."""
    value = _number(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def whole(least: int) -> Callable[[str], int]:
    """Return a function that reads a whole number of at least `least`."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= LARGEST:
            raise argparse.ArgumentTypeError(
                f"{shown(text)} is not a whole number from {least} to {LARGEST}"
            )
        return value

    return read


def run_command(
    build_parser: Callable[[], argparse.ArgumentParser],
    run: Callable[[argparse.Namespace], int],
    argv: Sequence[str] | None,
) -> int:
    """Return the command's own exit status; 1 if the command fails, 2 for a mistake of the user,
    130 or 143 after Ctrl-C or SIGTERM.

    The reason is one line on stderr.
    """
    with interruptible() as interrupts:
        try:
            return run(build_parser().parse_args(argv))
        except (KeyboardInterrupt, Exception) as error:
            # After a signal, code that is being ended may raise any exception.
            if interrupts.received is not None or isinstance(error, KeyboardInterrupt):
                interrupts.say()
                return interrupts.status
            line = _why(error)
            if line is None:
                raise
            print(short(line), file=sys.stderr)
            return 2 if isinstance(error, (UserError, OSError)) else 1


def _why(error: BaseException) -> str | None:
    """Return the line that explains an error; None if the error is a bug of this program."""
    if isinstance(error, SearchError):
        return f"error: {error}"
    if isinstance(error, OSError):
        # The user's files and disks: a full disk, a name that is too long, no permission.
        place = f"{error.filename}: " if error.filename is not None else ""
        return f"error: {place}{error.strerror or error}; check the path and the free space"
    return None
