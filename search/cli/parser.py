"""What all commands share: their parser, the values of their flags, and how they end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from search.cli.interrupts import interruptible
from spaces.errors import ConfigError, SearchError, UserError, did_you_mean, short, shown

# A whole number on a command line is a count or a number of bytes: an int64, as in the tables.
LARGEST = 2**63 - 1


class Parser(argparse.ArgumentParser):
    """An argument parser whose mistakes are one line, as all others are."""

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
    """Return the parser of `python -m search.NAME`; `about` is its module's docstring."""
    return Parser(
        prog=f"python -m search.{name}",
        description=(about or "").split("\n\n")[0],
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


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
    """Return a reader of whole numbers from `least` on."""

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
    """Return what a command returns; 1 if it has to give up, 2 for a mistake of the user, 130 or
    143 after a Ctrl-C or a SIGTERM.

    What stood in its way is one line on stderr.
    """
    with interruptible() as interrupts:
        try:
            return run(build_parser().parse_args(argv))
        except (KeyboardInterrupt, Exception) as error:
            # After a signal anything may be raised by what is ending.
            if interrupts.received is not None or isinstance(error, KeyboardInterrupt):
                interrupts.say()
                return interrupts.status
            line = _why(error)
            if line is None:
                raise
            print(short(line), file=sys.stderr)
            return 2 if isinstance(error, (UserError, OSError)) else 1


def _why(error: BaseException) -> str | None:
    """Return what to say of an error; None if it is a mistake of this program."""
    if isinstance(error, SearchError):
        return f"error: {error}"
    if isinstance(error, OSError):
        # What a user's files and disks do: a full disk, a name that is too long, no permission.
        place = f"{error.filename}: " if error.filename is not None else ""
        return f"error: {place}{error.strerror or error}; check the path, and the disk's room"
    return None
