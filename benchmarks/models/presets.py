"""Measure the sensitivities that the program ships with.

    python -m benchmarks.models.presets [--only NAME ...] [--work FOLDER]

writes spaces/presets/NAME.json for the built-in problem and for a model of each family.
Sensitivities that a search of the same model has left in the cache are used.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.models.measure import WORK
from benchmarks.models.searches import SEARCHES, case_settings
from benchmarks.models.zoo import CASES, DATA
from search.cli.plan_choices import PRESETS

BUILT_IN = "fashion_mnist"
NAMES = (BUILT_IN, *SEARCHES)


def measured(name: str, work: Path) -> dict[str, Any]:
    """Return a model's table: its data, its metric, and a curve per group."""
    task, data, settings = BUILT_IN, "Fashion-MNIST", {}
    if name != BUILT_IN:
        case = CASES[name]
        task, data, settings = case.task, DATA[case.family], case_settings(case, work)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "search.apply", "sensitivities", "--task", task]
        command += ["--out", f"{folder}/out"]
        command += [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        found = json.loads(Path(folder, "out", "sensitivities.json").read_text())
    curves = {
        group: [[round(value, 4) for value in point] for point in curve]
        for group, curve in found["curves"].items()
    }
    return {"model": name, "data": data, "metric": found["metric"], "curves": curves}


def written(table: dict[str, Any]) -> str:
    """Return a table as JSON with one group per line."""
    head = {key: value for key, value in table.items() if key != "curves"}
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    curves = [f"  {json.dumps(key)}: {json.dumps(curve)}" for key, curve in table["curves"].items()]
    return "{\n" + ",\n".join(lines) + ',\n "curves": {\n' + ",\n".join(curves) + "\n }\n}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(NAMES), choices=NAMES)
    parser.add_argument("--work", type=Path, default=WORK)
    chosen = parser.parse_args()
    PRESETS.mkdir(exist_ok=True)
    for name in chosen.only:
        (PRESETS / f"{name}.json").write_text(written(measured(name, chosen.work.absolute())))


if __name__ == "__main__":
    main()
