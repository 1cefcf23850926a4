"""python -m search.select RUN --max-latency-ms 3: another point of a finished run's front.

It is retrained in full, as the winner was, and delivered in a folder of its own within the run's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import yaml

from search.cli.parser import command_parser, positive, run_command, share, whole
from spaces.errors import ConfigError, RunFolderError
from trainables.results import Baseline
from trainables.settings import SELECTIONS

if TYPE_CHECKING:
    from search.config import RunConfig
    from search.console import Display
    from search.records.ledger import Ledger
    from search.records.run_folder import RunFolder
    from search.records.trial_record import TrialRecord


@dataclass(frozen=True)
class Wish:
    """What the chosen model has to keep. None asks for nothing."""

    budget: float | None = None
    max_latency_ms: float | None = None
    max_size_bytes: int | None = None

    @property
    def name(self) -> str:
        """What it is about, as a folder's name."""
        parts = {
            "budget": self.budget,
            "latency-ms": self.max_latency_ms,
            "bytes": self.max_size_bytes,
        }
        return "-".join(f"{what}-{value:g}" for what, value in parts.items() if value is not None)


def choose(ledger: Ledger, wish: Wish, baseline_ms: float) -> list[TrialRecord]:
    """Return the finished trials to retrain, in order of preference.

    Of those within the ledger's budget and the bounds: the fastest first; with a bound on latency
    or size, which then says what is fast or small enough, the one that loses least first. Raises
    ConfigError if there is none, with the best there is.
    """

    def latency_ms(record: TrialRecord) -> float:
        return (record.result.latency_ratio or 1.0) * baseline_ms

    feasible = ledger.feasible()
    if not feasible:
        raise ConfigError(
            f"none of {len(ledger.complete())} trials loses at most {ledger.budget:g}; give a "
            "larger --budget"
        )
    fast = [
        r for r in feasible if wish.max_latency_ms is None or latency_ms(r) <= wish.max_latency_ms
    ]
    if not fast:
        raise ConfigError(
            f"--max-latency-ms {wish.max_latency_ms:g}: the fastest trial within a loss of "
            f"{ledger.budget:g} takes {min(map(latency_ms, feasible)):.3g} ms; give that, or a "
            "larger --budget"
        )
    small = [
        r
        for r in fast
        if wish.max_size_bytes is None or (r.result.size_bytes or 0) <= wish.max_size_bytes
    ]
    if not small:
        least = min(r.result.size_bytes or 0 for r in fast)
        raise ConfigError(
            f"--max-size-bytes {wish.max_size_bytes}: the smallest trial that keeps the rest has "
            f"{least}; give that, or a larger --budget"
        )
    if wish.max_latency_ms is None and wish.max_size_bytes is None:
        return ledger.front()
    return sorted(small, key=lambda r: (r.result.metric_loss or 0.0, latency_ms(r)))


def select(run: RunFolder, config: RunConfig, wish: Wish, display: Display) -> None:
    """Retrain and deliver what a wish chooses of a finished run."""
    from clusters.storage import join
    from search.config import changed
    from search.context import StudyContext, cluster_of
    from search.records.ledger import Ledger
    from search.records.run_folder import MANIFEST, PLAIN_CONFIG, RAY
    from search.records.search_space import build_space, timed
    from search.records.tables import Store
    from search.reporting.advice import winner_lines
    from search.stages import deliver
    from search.stages.retrain import retrain_first_kept

    part = f"{SELECTIONS}/{wish.name}/"
    if (run.path / part / MANIFEST).is_file():
        raise RunFolderError(f"run folder {run.address}: has {part} already; it is in {part}model")
    config = changed(config, {"budget": wish.budget})
    baseline: Baseline | None = run.stage("baseline")
    if baseline is None:
        raise RunFolderError(
            f"run folder {run.address}: stages/baseline.json is missing; restore it"
        )
    space = build_space(config, baseline)
    ledger = Ledger.load(Store(run.folder), config.budget, space.groups, baseline.layers)
    if ledger.damage is not None:
        display.say(f"{'tables':<12} {ledger.damage}")
    # Before Ray starts: a wish that nothing fulfils needs none.
    candidates = choose(ledger, wish, baseline.latency_ms)
    with cluster_of(config, display) as cluster:
        study = StudyContext.of(config, run, cluster, display)
        baseline = replace(baseline, references=timed(run.stage("references") or []))
        with study.stage("retrain", f"{len(candidates)} trials do; the first that keeps it"):
            winner = retrain_first_kept(study, baseline, candidates)
        run.keep_text(f"{part}{PLAIN_CONFIG}", yaml.safe_dump(config.model_dump(mode="json")))
        manifest = deliver(study, baseline, ledger, winner, 0, part)
    run.forget(RAY)
    for line in winner_lines(manifest, winner.trial, config.budget):
        display.say(line)
    if wish.max_latency_ms is not None and manifest.latency_ms.winner > wish.max_latency_ms:
        display.say(
            f"MISSED: timed at length it takes {manifest.latency_ms.winner:.3g} ms, more than "
            f"{wish.max_latency_ms:g}"
        )
    display.say(f"model: {join(run.address, f'{part}model')}")


def build_parser() -> argparse.ArgumentParser:
    parser = command_parser("select", __doc__)
    parser.add_argument("run", help="folder, or URI, of a finished run")
    parser.add_argument("--budget", type=share, help="relative metric loss allowed (the run's)")
    parser.add_argument(
        "--max-latency-ms", type=positive, help="of a batch, as the run timed its baseline"
    )
    parser.add_argument("--max-size-bytes", type=whole(1), help="of the exported files")
    parser.add_argument("--address", help="of a running Ray cluster; default: a local one")
    return parser


def run(given: argparse.Namespace) -> int:
    """Return the exit status of what the arguments ask for."""
    wish = Wish(given.budget, given.max_latency_ms, given.max_size_bytes)
    if not wish.name:
        raise ConfigError(
            "nothing to choose by; give --budget, --max-latency-ms or --max-size-bytes"
        )
    from search.config import changed
    from search.console import Display
    from search.records.opening import resume_run

    display = Display()
    folder, config = resume_run(given.run, display.say, finished=True)
    try:
        select(folder, changed(config, {"address": given.address}), wish, display)
    finally:
        folder.release()
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 for a model, 1 if none keeps its promise, 2 for a mistake of the user."""
    return run_command(build_parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
