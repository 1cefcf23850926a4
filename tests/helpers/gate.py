"""Which trainings of the task `make_gated` go on, so that a moment of a run lasts until a test has
seen it."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path

import psutil

# Patterns: of no training's name, of all of them, of those of trials, of trials' first ones, of
# those that trials are promoted to, of the retrain's.
NOTHING, ALL, LEVELS, FIRST_LEVEL = "(?!)", "", r"level \d", "level 0"
LATER_LEVELS, RETRAIN = r"level [1-9]", r"^(?!.*level \d)"
# Settings of a search whose second levels and retrain are certain to come, if it has four trials:
# one of three is promoted, and no trained plan is trained in full by its trial, for there are four
# levels. An unpruned model, which nothing trains, is the largest, however slow the others seem.
UNFINISHED = {
    "budget": 0.5,
    "objective": "size",
    "finetune_samples": 320,
    "promotion_factor": 2,
}


def first_plans(count: int) -> str:
    """Return a pattern of the first trainings of a search's first plans, at most ten.

    Held, the others keep the search from its last plan, however late a test looks: after that none
    would be promoted. At most two plans are not trained: the unpruned ones in float and INT8.
    """
    return rf"plan-00000[0-{count - 1}] \w+ level 0"


@dataclass(frozen=True)
class Gate:
    """A training's name is its host's, then the title of its process: "host ray::... level 0"."""

    folder: Path

    def __post_init__(self):
        self.folder.mkdir()
        self.let(NOTHING)

    def let(self, names: str):
        """Let the trainings go on whose names this pattern finds, and hold all others."""
        written = self.folder / "written"
        written.write_text(names)
        # Trainings read it all the time: it is whole at any moment.
        written.rename(self.folder / "let")

    def options(self, weights: Path) -> dict[str, str]:
        """Return the settings of a search whose trainings are held."""
        return {"task_options": f"{{gate: {self.folder}, weights: {weights}}}"}

    def held(self, names: str) -> list[psutil.Process]:
        """Return the processes with a held training whose name this pattern finds."""
        found = []
        for file in self.folder.glob("*.held"):
            with contextlib.suppress(psutil.NoSuchProcess, FileNotFoundError):
                process = psutil.Process(int(file.stem))
                alive = process.status() != psutil.STATUS_ZOMBIE
                if alive and re.search(names, file.read_text()):
                    found.append(process)
        return found
