"""Checks that are run one by one, each in a process of its own, and the report of what they found.

No check ends the others: not one that fails, that crashes, or that hangs.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from spaces.errors import short

Verdict = Literal["pass", "fail", "skipped"]

# Exit status of a check that cannot be made on this machine; its last line is the reason.
SKIPPED = 77
# Lines of a failed check's output in the report: a traceback, and what went before it. A guess.
LINES = 60
# Seconds that nvidia-smi may take. A guess.
LIMIT_S = 20.0
# Seconds that a check which hangs has to end what it started, a Ray for example. A guess.
GRACE_S = 15.0
PACKAGES = ("paddlepaddle-gpu", "paddlepaddle", "paddleslim", "ray", "numpy", "tensorrt")


@dataclass(frozen=True)
class Check:
    """Something that is tried."""

    name: str
    what: str
    """What is tried, in words."""
    command: tuple[str, ...]
    limit_s: float
    """Seconds after which it has failed."""


@dataclass(frozen=True)
class Outcome:
    """What a check found."""

    check: Check
    verdict: Verdict
    found: str
    """One line: its last one, or why it failed."""
    seconds: float
    output: str = ""
    """All that it printed."""


def run_check(check: Check, limit_s: float) -> Outcome:
    """Run a check for at most some seconds; return what it found, whatever that is."""
    begun = time.monotonic()
    if limit_s <= 0:
        return Outcome(check, "fail", "not begun: the time for all checks was over", 0.0)
    try:
        process = subprocess.Popen(
            check.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # What it prints stands before why it failed, as it happened.
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            # Of its own, so that what it started can be ended with it.
            start_new_session=True,
        )
    except OSError as error:
        return Outcome(check, "fail", f"cannot be started: {error.strerror}", 0.0)
    try:
        output, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        output = _ended(process)
        found = f"no end after {limit_s:.0f} s"
        return Outcome(check, "fail", found, time.monotonic() - begun, output)
    verdict, found = _judged(process.returncode, output)
    return Outcome(check, verdict, found, time.monotonic() - begun, output)


def _ended(process: subprocess.Popen[str]) -> str:
    """End a process and what it started; return what they printed."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        return process.communicate(timeout=GRACE_S)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0]


def _judged(status: int, output: str) -> tuple[Verdict, str]:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = short(lines[-1]) if lines else "it printed nothing"
    if status < 0:
        return "fail", f"ended by {signal.Signals(-status).name}: {last}"
    verdicts: dict[int, Verdict] = {0: "pass", SKIPPED: "skipped"}
    return verdicts.get(status, "fail"), last


def run_checks(
    checks: Sequence[Check],
    whole_s: float,
    say: Callable[[str], None],
    persist: Callable[[list[Outcome]], None],
) -> list[Outcome]:
    """Run all checks within `whole_s` seconds; return an outcome each, in the same order.

    `say` is given a line before and after each, `persist` the outcomes so far after each.
    """
    begun, outcomes = time.monotonic(), list[Outcome]()
    for check in checks:
        say(f"{check.name}: {check.what}")
        left_s = whole_s - (time.monotonic() - begun)
        outcome = run_check(check, min(check.limit_s, left_s))
        say(f"  {outcome.verdict} after {outcome.seconds:.0f} s: {outcome.found}")
        outcomes.append(outcome)
        persist(outcomes)
    return outcomes


def machine() -> list[str]:
    """Return lines about this machine and its packages."""
    found = [
        f"time: {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC",
        f"system: {platform.platform()}, Python {platform.python_version()}",
    ]
    for package in PACKAGES:
        try:
            found.append(f"{package}: {version(package)}")
        except PackageNotFoundError:
            continue
    return found


def nvidia_smi() -> str:
    """Return what nvidia-smi prints, or why it prints nothing."""
    if shutil.which("nvidia-smi") is None:
        return "there is no nvidia-smi"
    try:
        ended = subprocess.run(
            ["nvidia-smi"], capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return f"nvidia-smi fails: {error}"
    return (ended.stdout + ended.stderr).strip()


def report(outcomes: Sequence[Outcome], about: Sequence[str], devices: str) -> str:
    """Return the report in Markdown: counts, the machine, a row a check, output of those that
    failed."""
    counts = [f"{sum(o.verdict == v for o in outcomes)} {v}" for v in ("pass", "fail", "skipped")]
    lines = ["# GPU check", "", ", ".join(counts), "", *(f"- {line}" for line in about)]
    lines += ["", "```text", devices, "```", ""]
    lines += ["| check | what | verdict | seconds | found |", "| --- | --- | --- | --- | --- |"]
    for outcome in outcomes:
        check = outcome.check
        cells = (check.name, check.what, outcome.verdict, f"{outcome.seconds:.0f}", outcome.found)
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    for outcome in outcomes:
        if outcome.verdict == "fail":
            last = outcome.output.splitlines()[-LINES:]
            command = " ".join(outcome.check.command).replace(sys.executable, "python")
            lines += ["", f"## {outcome.check.name}", "", f"`{command}`", "", "```text"]
            lines += [line.replace("```", "'''") for line in last] + ["```"]
    return "\n".join(lines) + "\n"
