"""A recogniser's characters: its dictionary, labels as classes, and classes as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spaces.errors import TaskError
from trainables.data.problems import Problems
from trainables.data.text import TextLine

# Without a dictionary PaddleOCR reads these, and labels in lower case.
PLAIN = "0123456789abcdefghijklmnopqrstuvwxyz"
# The class of "no character here" in CTC.
BLANK = 0


@dataclass(frozen=True)
class Characters:
    """The characters of a recogniser, in the order of its classes; class 0 is the blank."""

    known: tuple[str, ...] = tuple(PLAIN)
    file: Path | None = None
    """The dictionary; None for digits and letters, to which all labels are reduced."""
    _classes: dict[str, int] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Of a character that is listed twice the later class counts, as in PaddleOCR.
        self._classes.update({character: place for place, character in enumerate(self.known, 1)})

    @property
    def count(self) -> int:
        """Number of classes, with the blank."""
        return len(self.known) + 1

    def with_space(self) -> Characters:
        """Return these characters and a space behind them."""
        return Characters((*self.known, " "), self.file)

    def label(self, sample: TextLine, problems: Problems, longest: int | None = None) -> str | None:
        """Return the text that the network can be asked for; None with a note if there is none.

        `longest` is the most characters that are allowed, None for any number.
        """
        text = sample.text
        if longest is not None and len(text) > longest:
            problems.note(
                sample.where,
                f"{text!r} has {len(text)} characters, max_text_length is {longest}; raise it or "
                "remove the line",
            )
            return None
        if " " not in self._classes:
            # PaddleOCR's metric compares texts without spaces.
            text = text.replace(" ", "")
        if self.file is None:
            text = "".join(character for character in text.lower() if character in self._classes)
        unknown = [character for character in text if character not in self._classes]
        if unknown:
            problems.note(
                sample.where,
                f"{unknown[0]!r} in {text!r} is not in the dictionary {self.file}; correct or "
                "remove the line",
            )
        elif not text:
            lacking = "no digit or letter" if self.file is None else "only spaces"
            problems.note(sample.where, f"{sample.text!r} has {lacking}; remove the line")
        return None if unknown or not text else text

    def classes(self, text: str) -> list[int]:
        """Return the class of each character; KeyError for one that is not known."""
        return [self._classes[character] for character in text]

    def text(self, classes: Sequence[int] | NDArray[np.integer]) -> str:
        """Return the text of a class per column: repetitions count once, blanks not at all."""
        columns = np.asarray(classes)
        changes = np.ones(len(columns), bool)
        changes[1:] = columns[1:] != columns[:-1]
        return "".join(self.known[one - 1] for one in columns[changes & (columns != BLANK)])


def read_characters(named: object, use_space: bool, where: str) -> Characters:
    """Return the characters of a dictionary file, one per line; digits and letters for None.

    `use_space` adds a space, except without a dictionary, as in PaddleOCR. Raises TaskError,
    beginning with `where`, for a file that cannot be read or is written from right to left.
    """
    if named is None:
        return Characters()
    file = Path(str(named))
    try:
        # As bytes: as text, a carriage return would end a line too.
        content = file.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise TaskError(
            f"{where} character_dict_path {file} cannot be read ({reason}); name the dictionary "
            "that the network was trained with"
        ) from error
    if "arabic" in str(file):
        raise TaskError(
            f"{where} character_dict_path {file}: lines from right to left are not supported"
        )
    # Only line feeds end a line: a dictionary may have other separators as characters.
    lines = content.removesuffix("\n").split("\n")
    known = [line.strip("\r") for line in lines]
    if not any(known):
        raise TaskError(f"{where} character_dict_path {file} lists no character; one per line")
    found = Characters(tuple(known), file)
    return found.with_space() if use_space else found
