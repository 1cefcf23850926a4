"""The references that all models are timed beside: wide and narrow ones in every choice."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from search.context import StudyContext
from search.narration import say_untimed
from search.needs import trials_at_once
from search.records.run_folder import run_once
from search.records.search_space import drop_untimed, timed
from search.records.stage_files import References
from search.records.tables import Row
from search.workers import call_worker, each_result
from spaces.errors import StudyError
from spaces.measurements import reference_plans
from spaces.plan import Plan
from spaces.space import Space
from trainables.jobs import export_job, reference_job
from trainables.results import Baseline, Reference, Untimed

# Parts of the exports for each worker: those in INT8 take several times as long, and each part
# builds the model first. A guess.
PARTS_EACH = 2


def time_references(
    study: StudyContext, baseline: Baseline, space: Space
) -> tuple[Baseline, Space]:
    """Return the baseline with its references, and the space without the choices in which none
    could be timed. Raises StudyError if no choice remains.
    """

    def compute() -> References:
        found = _measured(study, baseline, reference_plans(space))
        say_untimed(found, study.display)
        rows = [_row(study, baseline, reference) for reference in timed(found)]
        study.store.write("latency", "references", rows)
        return found

    with study.stage("references", "models that all others are timed beside"):
        found: References = run_once(study.run, "references", compute)
        kept = drop_untimed(space, found)
        dropped = ", ".join(c.value for c in space.choices if c not in kept.choices)
        if not kept.choices:
            study.run.forget_stage("references")
            reason = next(item.reason for item in found if isinstance(item, Untimed))
            raise StudyError(
                f"choices {dropped}: no model could be timed, {reason}; repair that, or add float"
            )
        if dropped:
            study.display.say(f"{'':<12} excluded: {dropped}: no model could be timed")
    return replace(baseline, references=timed(found)), kept


def _measured(study: StudyContext, baseline: Baseline, plans: Sequence[Plan]) -> References:
    """Return the references, exported by all workers and then timed by one, in the plans' order."""
    workers = PARTS_EACH * trials_at_once(study.config, study.cluster.now())
    arguments = {
        str(start): (study.settings, baseline, study.node, plans[start::workers])
        for start in range(min(workers, len(plans)))
    }
    placement = study.timing_placement(baseline, study.config.threads)
    failed: dict[Plan, Untimed] = {}
    for _, parts in each_result(study.display, "parts", export_job, arguments, placement):
        failed |= {one.plan: one for one in parts}
    found: References = call_worker(
        study.display,
        f"{len(plans) - len(failed)} models",
        *(reference_job, study.settings, baseline, study.node, plans),
        on=study.timing_placement(baseline),
    )
    return [failed.get(one.plan, one) for one in found]


def _row(study: StudyContext, baseline: Baseline, reference: Reference) -> Row:
    return {
        "stage": "reference",
        "plan": json.dumps(reference.plan.to_json()),
        "ratio": reference.latency_ratio,
        "latency_ms": reference.latency_ratio * baseline.latency_ms,
        "baseline_latency_ms": baseline.latency_ms,
        "batch_size": study.settings.latency_batch,
        "threads": study.settings.threads,
    }
