"""Start or resume a study; leave its run folder in order however it ends."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from search.cli import interrupts
from search.cli.check_task import report_check
from search.cli.settings_file import say_settings_file
from search.config import RunConfig, changed
from search.console import Display
from search.context import StudyContext, cluster_of
from search.narration import say_next
from search.records.clock import StageClock
from search.records.opening import create_run, local_copy, resume_run
from search.records.run_folder import GAVE_UP, RAY, RunFolder, read_config
from search.reporting.files import report_run
from search.study import run_stages
from spaces.errors import RunFolderError, StorageError, StudyError, UserError, one_line


def check_only(config: RunConfig | None, resume: str | None, moved: Mapping[str, Any]) -> int:
    """Return the exit status of a check of the task that a configuration, or a run, names."""
    display = Display()
    if config is not None:
        say_settings_file(display.say)
        return report_check(config, display)
    assert resume is not None
    return report_check(changed(read_config(local_copy(resume)), moved), display)


def launch(
    config: RunConfig | None, resume: str | None, moved: Mapping[str, Any], *, dry: bool
) -> None:
    """Run the study of a configuration, or continue the run named `resume` with the settings that
    are `moved`; stop before the first trial if `dry`. Raises SearchError."""
    began, display = time.monotonic(), Display()
    if config is not None:
        say_settings_file(display.say)
        folder = create_run(config, display.say)
    else:
        assert resume is not None
        folder, config = resume_run(resume, display.say)
        config = changed(config, moved)
    with _left_in_order(folder):
        model = run_study(config, folder, display, dry=dry, began=began)
    if not dry:
        display.say(f"model: {model}")


def run_study(
    config: RunConfig,
    run: RunFolder,
    display: Display,
    *,
    dry: bool = False,
    began: float | None = None,
) -> str:
    """Return the folder or URI of the delivered model.

    `began` is when the command was given, of `time.monotonic`; by default now. With `dry` the
    study ends before the first trial, and the run's address is returned. Raises SearchError if no
    model can be delivered.
    """
    with cluster_of(config, display) as cluster:
        display.say(f"{'ray':<12} {cluster.in_words}")
        display.say(f"{'run':<12} {run.address}")
        clock = StageClock(run.stage("seconds"), partial(run.finish_stage, "seconds"), began)
        study = StudyContext.of(config, run, cluster, display, clock)
        study.begin()
        run.forget_stage(GAVE_UP)
        try:
            delivered = run_stages(study, dry)
        except StudyError as error:
            # The report says why there is no model.
            run.finish_stage(GAVE_UP, str(error))
            report_run(run, display)
            raise
    if delivered:
        run.delete_folder(RAY)
        report_run(run, display)
    else:
        display.say("nothing was searched yet")
    say_next(display, run, finished=delivered)
    return run.model_address if delivered else run.address


@contextmanager
def _left_in_order(folder: RunFolder) -> Iterator[None]:
    """Release the folder at the end; discard a run that a mistake ended before its baseline."""
    interrupts.current.advice = folder.how_to_carry_on
    try:
        yield
    except (StorageError, RunFolderError):
        # The folder may not be writable, so nothing can be discarded.
        raise
    except UserError:
        if interrupts.current.received is None:
            folder.discard()
        raise
    except OSError as error:
        # Ray's and Optuna's errors about a full disk name neither the folder nor what to do.
        raise RunFolderError(
            f"run folder {folder.address}: {one_line(error)}; free space, then continue with "
            f"--resume {shlex.quote(folder.address)}"
        ) from error
    finally:
        folder.release()
