"""Another point of a finished run's front: chosen by its bounds, retrained in full, delivered."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import yaml

from clusters.storage import join
from search.config import RunConfig, changed
from search.console import Display
from search.context import StudyContext, cluster_of
from search.records.ledger import Ledger
from search.records.opening import resume_run
from search.records.prospects import Prospects
from search.records.run_folder import MANIFEST, PLAIN_CONFIG, RAY, RunFolder
from search.records.search_space import build_space, timed
from search.records.tables import Store
from search.records.trial_record import TrialRecord
from search.reporting.advice import winner_lines
from search.stages.deliver import deliver
from search.stages.retrain import first_within_budget
from spaces.errors import ConfigError, RunFolderError
from trainables.results import Baseline
from trainables.settings import MODEL, SELECTIONS


@dataclass(frozen=True)
class Bounds:
    """Bounds that the chosen model must keep; None is no bound."""

    budget: float | None = None
    max_latency_ms: float | None = None
    max_size_bytes: int | None = None

    @property
    def name(self) -> str:
        """The bounds, as a folder's name."""
        parts = {
            "budget": self.budget,
            "latency-ms": self.max_latency_ms,
            "bytes": self.max_size_bytes,
        }
        return "-".join(f"{what}-{value:g}" for what, value in parts.items() if value is not None)


def choose(ledger: Ledger, bounds: Bounds, baseline: Baseline) -> list[TrialRecord]:
    """Return the trials to deliver, in order of preference.

    Only trials that keep the ledger's budget, or will probably keep it after the training they
    lack, and its bounds: if a bound on latency or size was asked for, the one that loses least
    first, otherwise that of least cost first. Raises ConfigError if there is none; it names the
    nearest trial.
    """
    prospects = Prospects(ledger)
    candidates = prospects.candidates()
    if not candidates:
        raise ConfigError(f"{prospects.obstacle(baseline)} a larger --budget")
    if bounds.max_latency_ms is None and bounds.max_size_bytes is None:
        return candidates
    losses = dict(
        zip([r.number for r in candidates], prospects.predicted(candidates)[0], strict=True)
    )
    return sorted(candidates, key=lambda r: (losses[r.number], *ledger.order(r)))


def select(address: str, bounds: Bounds, cluster: str | None) -> None:
    """Retrain and deliver the trial of a finished run that the bounds choose.

    The model goes to a folder of its own within the run's. `cluster` is the address of a running
    Ray cluster. Raises SearchError.
    """
    display = Display()
    run, config = resume_run(address, display.say, finished=True)
    try:
        _select(run, changed(config, {"address": cluster, **asdict(bounds)}), bounds, display)
    finally:
        run.release()


def _select(run: RunFolder, config: RunConfig, bounds: Bounds, display: Display) -> None:
    part = f"{SELECTIONS}/{bounds.name}/"
    if (run.path / part / MANIFEST).is_file():
        raise RunFolderError(
            f"run folder {run.address}: has {part} already; its model is in {part}{MODEL}"
        )
    baseline: Baseline | None = run.stage("baseline")
    if baseline is None:
        raise RunFolderError(
            f"run folder {run.address}: stages/baseline.json is missing; restore it"
        )
    space = build_space(config, baseline)
    ledger = Ledger.of_run(Store(run.folder), config, space.groups, baseline)
    if ledger.damage is not None:
        display.say(f"{'tables':<12} {ledger.damage}")
    # Before Ray starts: it is not needed if no trial keeps the bounds.
    candidates = choose(ledger, bounds, baseline)
    with cluster_of(config, display) as cluster:
        study = StudyContext.of(config, run, cluster, display)
        baseline = replace(baseline, references=timed(run.stage("references") or []))
        with study.stage("retrain", f"{len(candidates)} candidates, until one keeps the budget"):
            winner = first_within_budget(study, baseline, ledger, candidates)
        run.write_text(f"{part}{PLAIN_CONFIG}", yaml.safe_dump(config.model_dump(mode="json")))
        manifest = deliver(study, baseline, ledger, winner, 0, part)
    run.delete_folder(RAY)
    for line in winner_lines(manifest, winner.trial):
        display.say(line)
    display.say(f"model: {join(run.address, f'{part}{MODEL}')}")
