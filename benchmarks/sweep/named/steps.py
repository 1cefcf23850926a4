"""The steps of one file: draw and learn, check, search or apply, compare."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.sweep.named import delivery
from benchmarks.sweep.named.files import Named, key_of
from benchmarks.sweep.named.learning import learn
from benchmarks.sweep.named.rows import NamedRow
from benchmarks.sweep.reading import read
from benchmarks.sweep.stages import TOOLKITS, network_name
from spaces.errors import one_line

STEPS = ("learn", "check", "deliver")
LEARNED, CHECKED = "learned.json", "checked.json"
# Greatest difference of a delivered model's metric when it is evaluated again: engine and machine
# are the same, but sums differ with batch sizes. A guess.
TOLERANCE = 0.01
# Weights are clearly above chance by this, of a metric with maximum 1. A guess.
ABOVE = 0.1


@dataclass(frozen=True)
class Limits:
    """Wall seconds of a step."""

    train_s: float = 600.0
    check_s: float = 1_200.0
    search_s: float = 3_600.0
    """OCRNet's sensitivities alone take 1,100 s on two cores."""
    apply_s: float = 1_800.0


LIMITS = Limits()


def _child(work: Callable[..., Any], folder: Path, out: Path, arguments: tuple[Any, ...]) -> None:
    """Run a step in its own process, and write its result."""
    os.chdir(folder)
    with (folder / "steps.log").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        try:
            found = {"found": work(*arguments)}
        except Exception as error:  # Paddle and the toolkits raise every kind.
            found = {"error": one_line(error)}
    temporary = out.with_suffix(".new")
    temporary.write_text(json.dumps(found) + "\n")
    temporary.rename(out)


def in_child(
    work: Callable[..., Any], folder: Path, name: str, limit_s: float, *arguments: Any
) -> Any:
    """Return the result of a step, from its file or by running it in its own process.

    Raises RuntimeError if it raises, dies or takes too long.
    """
    out = folder.absolute() / name
    if not out.is_file():
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=_child, args=(work, folder.absolute(), out, arguments))
        process.start()
        process.join(limit_s)
        late = process.is_alive()
        process.kill()
        process.join()
        if late or not out.is_file():
            ended = f"longer than {limit_s:.0f} s" if late else f"ended with {process.exitcode}"
            raise RuntimeError(f"{work.__name__}: {ended}")
    found = json.loads(out.read_text())
    if "error" in found:
        out.unlink()
        raise RuntimeError(f"{work.__name__}: {found['error']}")
    return found["found"]


def draw_and_learn(named: Named, file: str, limit_s: float, begin: str | None) -> dict[str, Any]:
    """Draw the data of a file in the current folder, and train its network."""
    kind = TOOLKITS[named.toolkit]
    kind.draw(read(Path(file)), named.amount)
    options = {"config_file": file, "weights": delivery.WEIGHTS, **named.options}
    known = None if begin is None else Path(begin)
    return learn(kind.task, options, named.learning, limit_s, known).to_json()


def check(named: Named, file: str) -> list[str]:
    """Return the unmet demands of the contract, one per line."""
    from trainables.checking import check_task

    options = {"config_file": file, "weights": delivery.WEIGHTS, **named.options}
    demands = check_task(TOOLKITS[named.toolkit].task, options)
    return [f"{demand.name}: {demand.said}" for demand in demands if not demand.met]


def compare(named: Named, file: str, run: str) -> float:
    """Return the delivered model's metric, loaded again."""
    options = {"config_file": file, "weights": delivery.WEIGHTS, **named.options}
    return delivery.delivered_metric(Path(run), TOOLKITS[named.toolkit].task, options)


def known_weights(named: Named, folder: Path) -> Path | None:
    """Return the weights that a training begins with: those that an interrupted one has left, or
    those of the file that `begin` names, if they exist."""
    own = folder / delivery.WEIGHTS
    if own.is_file():
        return own
    begin = folder.parent / key_of(named.toolkit, named.learning.begin)
    return begin / delivery.WEIGHTS if (begin / LEARNED).is_file() else None


def run_steps(
    named: Named, checkouts: Path, folder: Path, limits: Limits, until: str
) -> NamedRow | None:
    """Return the row of a file, or None if `until` ends it before its model is delivered."""
    folder.mkdir(parents=True, exist_ok=True)
    file = (checkouts / named.toolkit / named.file).absolute()
    row = NamedRow(
        named.toolkit,
        named.file,
        network=network_name(read(file), TOOLKITS[named.toolkit].network),
        tensor=named.tensor,
    )
    seconds: dict[str, float] = {}
    try:
        known = known_weights(named, folder.absolute())
        arguments = (named, str(file), limits.train_s, None if known is None else str(known))
        learned = in_child(draw_and_learn, folder, LEARNED, 2 * limits.train_s + 300, *arguments)
        row = replace(
            row,
            metric_name=learned["metric_name"],
            learned=learned["metric"],
            learned_steps=learned["steps"],
            learned_seconds=learned["seconds"],
            chance=learned["chance"],
            above_chance=learned["metric"] >= (learned["chance"] or 0.0) + ABOVE,
        )
        seconds["learn"] = learned["seconds"]
        if until == "learn":
            return None
        start = time.monotonic()
        unmet = in_child(check, folder, CHECKED, limits.check_s, named, str(file))
        seconds["check"] = round(time.monotonic() - start, 1)
        row = replace(row, unmet=tuple(unmet))
        if until == "check":
            return None
        start = time.monotonic()
        row = deliver(row, named, file, folder, limits)
        seconds["deliver"] = round(time.monotonic() - start, 1)
    except RuntimeError as error:
        row = replace(row, failed=(*row.failed, str(error)))
    if not row.above_chance and row.learned is not None:
        row = replace(row, failed=(*row.failed, f"learned no more than {row.learned:.3f}"))
    return replace(row, seconds=seconds)


def deliver(row: NamedRow, named: Named, file: Path, folder: Path, limits: Limits) -> NamedRow:
    """Return the row with the delivered model, by a search or else by a plan with equal ratios."""
    arguments = delivery.task_arguments(named, TOOLKITS[named.toolkit].task, file)
    delivery.write_settings(folder, named)
    failed, notes = [*row.failed, *row.unmet], ()
    searched = limits.search_s > 0 or (folder / delivery.RUN / delivery.MANIFEST).is_file()
    ended = delivery.search(folder, arguments, limits.search_s) if searched else None
    if ended is not None and ended.status == 0:
        run, figures = delivery.RUN, delivery.of_search(folder)
        if not delivery.digests_hold(folder / run):
            failed.append("the delivered files do not have the manifest's digests")
    else:
        if ended is not None and ended.status is not None:
            failed.append(f"search.run {delivery.outcome(ended)}")
        notes = (f"a search was given {limits.search_s:.0f} s",)
        ended = delivery.apply(folder, arguments, limits.apply_s)
        if ended.status != 0:
            failed.append(f"search.apply {delivery.outcome(ended)}")
            return replace(row, failed=tuple(failed))
        run, figures = delivery.APPLIED, delivery.of_apply(folder)
    (folder / "compared.json").unlink(missing_ok=True)
    again = in_child(
        compare,
        folder,
        "compared.json",
        limits.check_s,
        named,
        str(file),
        str((folder / run).absolute()),
    )
    stated = figures["delivered_val"]
    if abs(again - stated) > TOLERANCE:
        failed.append(f"evaluated again: {again:.4f}, in the manifest: {stated:.4f}")
    gained = figures["latency_ratio"] < delivery.GAIN or figures["size_ratio"] < delivery.GAIN
    if not gained and "NOTHING GAINED" not in (folder / delivery.LOG).read_text():
        failed.append("nothing was gained, and the run did not say so")
    return replace(
        row, **figures, engine_val=again, gained=gained, notes=notes, failed=tuple(failed)
    )
