"""The share of the trials' wall time that a real run spends outside the trials' stages."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd

TRIALS = 24


def overhead_share(trials: pd.DataFrame) -> float:
    """Return the share of wall time outside pruning, training, evaluating, exporting, timing."""
    from search.records.tables import STAGES

    inside = trials[[f"{stage}_s" for stage in STAGES]].sum().sum()
    return float(1 - inside / trials["wall_s"].sum())


def measure() -> dict[str, float]:
    """Run a search of 24 trials with a token retrain, and return its overhead."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [sys.executable, "-m", "search.run", "--budget", "0.1", "--out", str(out)]
        settings = {
            "trials": TRIALS,
            "cache": Path(folder) / "cache",
            "retrain_samples": 64,
            "retrain_qat_samples": 64,
            # The retrain is not measured, so any result of it is accepted.
            "confidence_z": 0,
        }
        options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
        subprocess.run([*command, *options], env={**os.environ}, check=False)
        trials = pd.read_parquet(out / "trials")
        return {
            "overhead_share": overhead_share(trials),
            "trials": len(trials),
            "wall_s": float(trials["wall_s"].sum()),
        }


if __name__ == "__main__":
    import json

    print(json.dumps(measure(), indent=1))
