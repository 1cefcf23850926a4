"""Ctrl-C and SIGTERM: one line, how to continue, the status that shells expect, no orphans."""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest

from search.cli.interrupts import InterruptedRun, interruptible
from search.cli.parser import run_command
from spaces.errors import ConfigError
from tests.helpers.support import PATIENCE_S


def exit_status(command):
    """Return the status of a command without arguments."""
    return run_command(argparse.ArgumentParser, lambda given: command(), [])


def interrupted(number, then=lambda: None):
    """A command that gets a signal, and what it does when it ends."""

    def command():
        try:
            os.kill(os.getpid(), number)
            threading.Event().wait(60)
        finally:
            then()
        return 0

    return command


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_one_line_and_the_status_of_a_shell(number, status, capsys):
    assert exit_status(interrupted(number)) == status
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert signal.Signals(number).name in said[0]


def test_errors_while_it_ends_are_not_printed(capsys):
    def fail():
        raise ConfigError("the cluster does not answer")

    assert exit_status(interrupted(signal.SIGTERM, fail)) == 143
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_what_native_code_logs_while_it_ends_is_not_printed(capfd):
    def log():
        os.write(2, b"E task_manager.cc: Failed to push error to driver\n")

    assert exit_status(interrupted(signal.SIGTERM, log)) == 143
    assert len(capfd.readouterr().err.splitlines()) == 1
    os.write(2, b"after it\n")
    assert capfd.readouterr().err == "after it\n"


def test_other_handlers_are_refused():
    before = signal.getsignal(signal.SIGTERM)
    with interruptible() as interrupts:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        usr1 = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        assert signal.signal(signal.SIGUSR1, usr1) is signal.SIG_IGN
        with pytest.raises(InterruptedRun):
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(60)
        assert interrupts.status == 143
    assert signal.getsignal(signal.SIGTERM) is before
    signal.signal(signal.SIGTERM, before)


SWALLOWS = """
import argparse, os, signal, subprocess, sys, threading
import search.cli.interrupts
from search.cli.parser import run_command
search.cli.interrupts.GRACE_S = 0.2
def command(given):
    child = subprocess.Popen(["sleep", "1000"])
    print(child.pid, flush=True)
    try:
        os.kill(os.getpid(), signal.SIGINT)
    except KeyboardInterrupt:
        pass
    threading.Event().wait(60)
sys.exit(run_command(argparse.ArgumentParser, command, []))
"""


def test_code_that_swallows_the_signal_is_ended_with_its_children():
    ended = subprocess.run([sys.executable, "-c", SWALLOWS], capture_output=True, text=True)
    assert ended.returncode == 130
    assert len(ended.stderr.splitlines()) == 1
    child = int(ended.stdout)
    if psutil.pid_exists(child):
        _, alive = psutil.wait_procs([psutil.Process(child)], timeout=PATIENCE_S)
        assert not alive


def ended_by(place, arguments, line, number):
    """Run the command until it says a line, send it a signal; return its status and stderr."""
    process = subprocess.Popen(
        place.command(*arguments),
        cwd=place.folder,
        env=place.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that put us into the background has us ignore a Ctrl-C, and our children too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    said = []
    for text in process.stdout:
        said.append(text)
        if text.startswith(line):
            break
    else:
        raise AssertionError(f"never said {line!r}: {said} {process.stderr.read()}")
    begun = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    _, errors = process.communicate(timeout=PATIENCE_S)
    _, alive = psutil.wait_procs(begun, timeout=PATIENCE_S)
    assert not alive, f"orphans after {line!r}: {[child.cmdline() for child in alive]}"
    return process.returncode, errors


@pytest.mark.slow
def test_at_any_stage_it_says_how_to_continue_and_leaves_no_process(local_workplace, workplace):
    run = local_workplace.folder / "interrupted"
    begin = ("--budget", "0.1", *workplace.task(), "--trials", "2", "--out", str(run))
    begin += ("--concurrency", "1", "-o", "choices=[float]")
    resume = ("--resume", str(run))
    # The first line of a stage, under a Ray of the run's own or one that outlives it. Ray's native
    # code replaces the handler of SIGTERM when it starts, Ray Train that of Ctrl-C when it trains.
    moments = [
        (local_workplace, begin, "sensitivity ", signal.SIGTERM),
        (local_workplace, resume, "retrain ", signal.SIGINT),
        (workplace, resume, "deliver ", signal.SIGINT),
    ]
    for place, arguments, line, number in moments:
        status, errors = ended_by(place, arguments, line, number)
        assert status == 128 + number, (line, errors)
        assert errors.splitlines() == [
            f"interrupted by {number.name}; carry on with --resume {run}"
        ], line
    ended = workplace.run(*resume)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert json.loads((run / "manifest.json").read_text())["trials"]["finished"] == 2
