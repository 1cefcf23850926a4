"""The characters of an exported recogniser: those of a dictionary file, or those that PaddleOCR
wrote beside the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from spaces.errors import TaskError
from trainables.data.characters import Characters, read_characters
from trainables.tasks.exported.options import flag
from trainables.tasks.exported.preprocessing import WRITTEN, read_written


@dataclass(frozen=True)
class Dictionary:
    """A recogniser's characters, as far as they are known without the model."""

    characters: Characters = field(default_factory=Characters)
    """Without the space that PaddleOCR's `use_space_char` adds."""
    use_space: bool | None = None
    """None: the number of the model's classes says it."""

    def fitted(self, classes: int, where: str) -> Characters:
        """Return the characters of a model's classes; TaskError, in one line, for another number
        of them."""
        plain = self.characters
        # As in PaddleOCR, there is no space without a dictionary.
        spaced = plain.with_space() if plain.file else plain
        possible: tuple[Characters, ...] = (plain, spaced)
        if self.use_space is not None:
            possible = (spaced if self.use_space else plain,)
        for characters in possible:
            if characters.count == classes:
                return characters
        counts = " or ".join(sorted({str(characters.count) for characters in possible}))
        listed = f"the dictionary {plain.file}" if plain.file else "PaddleOCR's default dictionary"
        or_space = "" if self.use_space is None else ", or leave out use_space_char"
        raise TaskError(
            f"{where} the model has {classes} classes, and {listed} has {counts} with the blank; "
            "name the dictionary that it was trained with by task_options.character_dict_path"
            f"{or_space}"
        )


def read_dictionary(
    folder: Path, named: str | None = None, use_space: bool | None = None
) -> Dictionary:
    """Return the dictionary that is named, else the one in a toolkit's file in the model's folder,
    else PaddleOCR's digits and letters.

    Raises TaskError, in one line, for a file that cannot be read or has no characters.
    """
    use_space = None if use_space is None else flag(use_space, "use_space_char")
    if named is not None:
        return Dictionary(read_characters(named, False, "task_options:"), use_space)
    for file in (folder / name for name in WRITTEN):
        if file.is_file():
            decoding = read_written(file).get("PostProcess")
            if isinstance(decoding, Mapping) and "character_dict" in decoding:
                return Dictionary(_written(decoding["character_dict"], file), use_space)
    return Dictionary(use_space=use_space)


def _written(listed: object, file: Path) -> Characters:
    if (
        not isinstance(listed, list)
        or not any(listed)
        or not all(isinstance(character, str) for character in listed)
    ):
        raise TaskError(
            f"{file}: character_dict is not a list of characters; correct it, or name a file of "
            "them with task_options.character_dict_path"
        )
    return Characters(tuple(listed), file)
