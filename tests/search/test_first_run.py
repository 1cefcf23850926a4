"""A first run that explains itself, then goes on, watched by all trackers, on the tiny task."""

import pandas as pd
import pytest

from tests.helpers.support import allowed_fall, rows_of

pytestmark = pytest.mark.slow

TRIALS = 3


def test_a_dry_run_explains_what_is_ahead_and_a_resume_does_it(workplace, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = workplace.folder / "first"
    said = workplace.run(
        *("--budget", "0.1", *workplace.task(), "--trials", str(TRIALS), "--out", str(run)),
        *("--dry-run", "--concurrency", "1"),
        choices="[float, int8_ptq]",
        trackers="[tensorboard, mlflow, wandb]",
    )
    assert said.returncode == 0, said.stdout + said.stderr
    assert "top1_accuracy may fall from" in said.stdout
    before, lowest = allowed_fall(said.stdout)
    assert before > 0.5 and lowest == pytest.approx(0.9 * before, abs=1e-4)
    assert f"{TRIALS} plans of" in said.stdout
    assert f" -m search.run --resume {run}" in said.stdout
    assert rows_of(run, "trials") == 0
    assert not (run / "model").exists()

    ended = workplace.run("--resume", str(run))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    trials = pd.read_parquet(run / "trials").set_index("number")
    assert len(trials) == TRIALS
    # Each tracker has every trial, with what it came to.
    assert len(list((run / "tensorboard").glob("trial-*"))) == TRIALS
    assert len(list((run / "wandb").glob("offline-run-*"))) == TRIALS
    for number, trial in trials.iterrows():
        (parameter,) = (
            path
            for path in (run / "mlruns").rglob("params/number")
            if path.read_text() == str(number)
        )
        metrics = parameter.parent.parent / "metrics"
        if trial["state"] == "COMPLETE":
            last = (metrics / "metric_loss").read_text().splitlines()[-1].split()[1]
            assert float(last) == pytest.approx(trial["metric_loss"])
