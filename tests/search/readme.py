"""README's commands, and a folder to run them in as they are printed."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

README = Path(__file__).parents[2] / "README.md"

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
    "latency_batch": 1,
    "batch_size": 4,
    "rungs": [],
    # Whatever is a little slower or worse by chance is delivered all the same.
    "max_latency_ratio": 100,
    "confidence_z": 0,
}


def commands() -> dict[str, list[str]]:
    """Return the command lines of README's blocks by section, each as it is printed."""
    found: dict[str, list[str]] = {}
    for section in re.split(r"^## ", README.read_text(), flags=re.MULTILINE):
        title = section.partition("\n")[0]
        blocks = re.findall(r"^```(\w*)\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
        shell = [text for language, text in blocks if not language]
        lines = "".join(shell).replace("\\\n", "\\\0").splitlines()
        printed = [line.replace("\\\0", "\\\n") for line in lines]
        kept = [line for line in printed if re.match(r"(python|make|pip|ray|docker) ", line)]
        if kept:
            found[title] = kept
    return found


def section(title: str) -> list[str]:
    return commands()[title]


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

    def run(self, line: str) -> int:
        """Run a command line as the shell would, in this process; return its exit status."""
        # A shell joins lines within quotes too; shlex does not.
        joined = line.replace("\\\n", "")
        python, flag, module, *arguments = shlex.split(joined, comments=True)
        assert (python, flag) == ("python", "-m")
        with self.patch.context() as patch:
            patch.chdir(self.folder)
            # What `python -m` puts first.
            patch.setattr(sys, "path", [str(self.folder), *sys.path])
            patch.setattr(sys, "argv", [module, *arguments])
            main = importlib.import_module(module).main
            if module.startswith("search."):
                return int(main())
            main(*arguments)
            return 0
