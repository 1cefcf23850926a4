"""The commands of README and the guides, and a folder to run them in as they are printed."""

from __future__ import annotations

import importlib
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.helpers.printed import PAGES, command_blocks

# Enough for a model to be delivered, little enough for a test.
SHORT = {
    # The first plans are those of thresholds, then the unpruned model.
    "trials": 3,
    "choices": ["float"],
    "finetune_samples": 4,
    "qat_samples": 4,
    "retrain_samples": 4,
    "retrain_qat_samples": 4,
    "retrain_workers": 1,
    "calibration_samples": 4,
    "sensitivity_points": 2,
    "latency_points": 4,
    "latency_effort": 0.05,
    "latency_batch": 1,
    "batch_size": 4,
    # Whatever is a little slower or worse by chance is delivered all the same.
    "max_latency_ratio": 100,
    "confidence_z": 0,
}


def commands() -> dict[str, list[str]]:
    """Return the command lines of each page's blocks, as they are printed."""
    found: dict[str, list[str]] = {}
    for page in PAGES:
        lines = "".join(command_blocks(page)).replace("\\\n", "\\\0").splitlines()
        printed = [line.replace("\\\0", "\\\n") for line in lines]
        runnable = [line for line in printed if re.match(r"(python|make|pip|ray|docker) ", line)]
        if runnable:
            found[page] = runnable
    return found


def page(name: str) -> list[str]:
    """Return the command lines of one page."""
    return commands()[name]


@dataclass
class Home:
    """A folder that is empty but for what a command needs, and slimsearch.yaml.

    Its runs are on a Ray whose nodes were started in another folder.
    """

    folder: Path
    patch: pytest.MonkeyPatch

    def settings(self, **more: object) -> None:
        cache = str(self.folder.parent / "cache")
        (self.folder / "slimsearch.yaml").write_text(
            yaml.safe_dump({**SHORT, "cache": cache, **more})
        )

    @contextmanager
    def inside(self) -> Iterator[pytest.MonkeyPatch]:
        """Work in the folder; what is patched meanwhile is undone."""
        with self.patch.context() as patch:
            patch.chdir(self.folder)
            yield patch

    def run(self, line: str) -> int:
        """Run a command line as the shell would, in this process; return its exit status."""
        # A shell joins lines within quotes too; shlex does not.
        joined = line.replace("\\\n", "")
        python, *words = shlex.split(joined, comments=True)
        assert python == "python"
        if words[0] != "-m":
            with self.inside() as patch:
                patch.setattr(sys, "argv", words)
                runpy.run_path(words[0], run_name="__main__")
                return 0
        _, module, *arguments = words
        with self.inside() as patch:
            # What `python -m` puts first.
            patch.setattr(sys, "path", [str(self.folder), *sys.path])
            patch.setattr(sys, "argv", [module, *arguments])
            main = importlib.import_module(module).main
            if module.startswith("search."):
                return int(main())
            main(*arguments)
            return 0
