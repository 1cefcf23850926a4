"""What the workers of a retrain are told, and what each runs. The driver imports this, so paddle is
imported inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spaces.plan import Plan
from trainables.files.node import Node
from trainables.results import Baseline
from trainables.settings import TrialSettings

OUTCOME = "outcome.json"
"""The figures of a retrained candidate, in its folder."""
JOB = "job"
"""What a job is called in the configuration of a Ray Train loop."""


@dataclass(frozen=True)
class RetrainJob:
    """What every worker of a retrain is told."""

    settings: TrialSettings
    baseline: Baseline
    node: Node
    plan: Plan
    number: int
    """The trial whose fine-tuned weights it starts from."""


def retrain_loop(config: Mapping[str, RetrainJob]) -> None:
    """Retrain one candidate; run by every worker of a Ray Train job.

    `config` has the job under JOB. The first worker leaves the export and OUTCOME in the run's
    folder.
    """
    from trainables.retraining import Retraining

    Retraining(config[JOB]).run()
