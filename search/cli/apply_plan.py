"""One plan without a search: chosen, run as a trial, read on the test split, left in a folder."""

from __future__ import annotations

import json
import shlex
import tempfile
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from search.cli import interrupts
from search.cli.layer_choice import Mixture, choose_mixture, mixture_lines
from search.cli.plan_choices import CHOICES, Ground
from search.cli.settings_file import say_settings_file
from search.config import RunConfig
from search.console import Display, percent, ratio_text
from search.context import StudyContext, cluster_of, worker_settings
from search.records.opening import create_plain
from search.records.run_folder import PLAN
from search.records.search_space import build_space
from search.reporting.advice import as_timed
from search.stages.baseline import choose_engine, measure_baseline
from search.stages.deliver import copy_model
from search.stages.layers import measure_layer_costs
from search.stages.sensitivity import measure_sensitivities
from search.workers import call_worker
from spaces.errors import UserError
from spaces.heuristics import Sensitivities
from spaces.layers import LayerCosts
from spaces.plan import Plan, Precision, QuantizationChoice
from trainables.files.codec import PlanField, encode
from trainables.jobs import final_job, groups_job, trial_job
from trainables.results import Baseline, FinalFigures, TrialResult
from trainables.settings import MODEL

OUTCOME = "outcome.json"
SENSITIVITIES = "sensitivities.json"
LAYERS = "layers.json"
# Groups that are printed: a terminal has 24 lines.
SHOWN_GROUPS = 12


@dataclass(frozen=True)
class Outcome:
    """What became of a plan, as OUTCOME holds it."""

    way: str
    """The subcommand that chose the plan."""
    plan: PlanField
    val: TrialResult
    test: FinalFigures


def list_groups(given: Namespace, config: RunConfig) -> None:
    """Print every group with the parameters that shrink with it, and the excluded ones."""
    display = Display()
    say_settings_file(display.say)
    with tempfile.TemporaryDirectory() as folder, cluster_of(config, display):
        settings = worker_settings(config, folder, folder)
        found = call_worker(display, "groups", groups_job, settings)
    for remark in found.remarks:
        display.say(remark)
    for listed in found.groups:
        group = listed.group
        unit = f", {group.unit} at a time" if group.unit > 1 else ""
        display.say(f"{group.name}: {group.channels} channels{unit}")
        for name, shape in listed.shapes:
            if name != group.name:
                display.say(f"    {name} {list(shape)}")
    for listed in found.branches:
        within = f", inside {listed.group.inside[0]}" if listed.group.inside else ""
        display.say(f"{listed.group.name}: a branch of {len(listed.shapes)} parameters{within}")
    for item in (*found.excluded, *found.kept_branches):
        display.say(f"excluded: {item.name}: {item.reason}")
    display.say(
        f"{len(found.groups)} groups, {len(found.branches)} branches, "
        f"{len(found.excluded) + len(found.kept_branches)} excluded"
    )


def apply(given: Namespace, config: RunConfig) -> None:
    """Choose the plan and run it in a new folder, which is discarded after a mistake."""
    display = Display()
    say_settings_file(display.say)
    run = create_plain(config)
    place = shlex.quote(str(run.path))
    interrupts.current.advice = lambda: f"remove {place}, or name another --out, and start again"
    try:
        with cluster_of(config, display) as cluster:
            study = StudyContext.of(config, run, cluster, display)
            study.store.create()
            study = choose_engine(study)
            baseline = measure_baseline(study)
            ground = _ground(study, baseline, given.chosen_by == "sensitivities")
            if given.chosen_by == "sensitivities":
                _write_sensitivities(study, baseline, ground)
                return
            outcome = _run_plan(given, study, baseline, ground)
        run.write_text(OUTCOME, encode(Outcome, outcome, indent=1))
        _say_outcome(study, baseline, outcome.test)
    except UserError:
        run.discard()
        raise
    finally:
        run.release()


def _ground(study: StudyContext, baseline: Baseline, with_branches: bool) -> Ground:
    space = build_space(study.config, baseline)
    # The rules of today's tools know no branches, and need not wait for their sensitivities.
    measured = space if with_branches else replace(space, groups=baseline.groups)

    def measure() -> Sensitivities:
        return measure_sensitivities(study, baseline, measured)

    return Ground(space, baseline.layers, measure, study.display.say)


def _write_sensitivities(study: StudyContext, baseline: Baseline, ground: Ground) -> None:
    curves = {group: list(curve) for group, curve in ground.measure().items()}
    table = {"data": study.config.task, "metric": baseline.metric_name, "curves": curves}
    study.run.write_text(SENSITIVITIES, json.dumps(table, indent=1))
    study.display.say(f"sensitivities: {study.run.path / SENSITIVITIES}")


def _run_plan(given: Namespace, study: StudyContext, baseline: Baseline, ground: Ground) -> Outcome:
    """Run the trial of the plan that the arguments choose; time and test its model."""
    run, display, settings = study.run, study.display, study.settings
    placement = study.placement(timed=True)
    if getattr(given, "auto", False):
        plan = _mixed(given.budget, study, baseline)
    else:
        plan = CHOICES[given.chosen_by](given, ground, QuantizationChoice(given.quantization))
    run.write_text(PLAN, json.dumps(plan.to_json(), indent=1))
    for line in removed_lines(plan, ground):
        display.say_below(line)
    with study.stage("trial", f"{len(plan.ratios)} groups pruned, {plan.quantization.value}"):
        result = _trial(study, baseline, plan)
    for line in layer_lines(plan, result.layers or {}):
        display.say_below(line)
    copy_model(settings.candidate_folder(0), run.path / MODEL)
    with study.stage("test", "time both models, evaluate both once on the test split"):
        final = call_worker(display, "test", final_job, settings, study.node, plan, on=placement)
    return Outcome(given.chosen_by, plan, result, final)


def _trial(study: StudyContext, baseline: Baseline, plan: Plan) -> TrialResult:
    settings = study.settings
    # One level: a plan that is applied is trained once.
    once = settings.having(retrain_samples=1, retrain_qat_samples=settings.qat_samples)
    arguments = (once, baseline, study.node, plan)
    placement = study.placement(timed=True)
    result: TrialResult = call_worker(study.display, "trial", trial_job, *arguments, on=placement)
    return result


def _mixed(budget: float, study: StudyContext, baseline: Baseline) -> Plan:
    """Choose the layers that stay in float; write and print what each costs and brings in INT8."""
    mixture = choose_mixture(
        budget,
        lambda plan: _trial(study, baseline, plan),
        lambda layers: measure_layer_costs(study, baseline, layers),
        study.display.say_below,
    )
    study.run.write_text(LAYERS, encode(Mixture, mixture, indent=1))
    for line in mixture_lines(mixture):
        study.display.say_below(line)
    if mixture.plan == Plan():
        study.display.say_below("no mixture keeps the budget; the model stays in float")
    return mixture.plan


def removed_lines(plan: Plan, ground: Ground) -> list[str]:
    """Return the channels that a plan removes: the sum, and those of the most pruned groups."""
    groups = ground.space.groups
    pruned = sorted(
        (g for g in groups if plan.ratio(g.name) > 0), key=lambda group: -plan.ratio(group.name)
    )
    if not pruned:
        return ["nothing is removed"]
    branches = [group.name for group in pruned if group.is_branch]
    pruned = [group for group in pruned if not group.is_branch]
    removed = {g.name: round(plan.ratio(g.name) * g.channels) for g in pruned}
    left = ""
    if ground.layers:
        ratios = np.array([[plan.ratio(g.name) for g in groups]])
        share = LayerCosts(ground.layers, groups).multiply_adds(ratios)[0]
        left = f", which leaves {share:.0%} of the multiply-adds"
    channels = sum(g.channels for g in groups if not g.is_branch)
    lines = [f"removed: {sum(removed.values())} of {channels} channels{left}"]
    lines += [f"  {g.name}: {removed[g.name]} of {g.channels}" for g in pruned[:SHOWN_GROUPS]]
    if len(pruned) > SHOWN_GROUPS:
        lines.append(f"  and {len(pruned) - SHOWN_GROUPS} more groups, all in {PLAN}")
    if branches:
        lines.append(f"taken out whole: {', '.join(branches[:SHOWN_GROUPS])}")
    if len(branches) > SHOWN_GROUPS:
        lines.append(f"  and {len(branches) - SHOWN_GROUPS} more branches, all in {PLAN}")
    return lines


def layer_lines(plan: Plan, layers: Mapping[str, Precision]) -> list[str]:
    """Return what the layers of an INT8 model run in, as its engine tells, and which layers do not
    run in what the plan asks for."""
    inside: dict[Precision, list[str]] = {}
    for name, precision in layers.items():
        inside.setdefault(precision, []).append(name)
    lines = []
    for precision, names in sorted(inside.items(), reverse=True):
        shown = f": {', '.join(names[:SHOWN_GROUPS])}" if precision != "int8" else ""
        more = (
            f" and {len(names) - SHOWN_GROUPS} more" if shown and len(names) > SHOWN_GROUPS else ""
        )
        lines.append(f"in {precision}: {len(names)} of {len(layers)} layers{shown}{more}")
    missed = [name for name in plan.float_layers if layers.get(name) == "int8"]
    if missed:
        lines.append(f"the engine quantizes {', '.join(missed)} all the same")
    return lines


def _say_outcome(study: StudyContext, baseline: Baseline, final: FinalFigures) -> None:
    settings, sizes = study.settings, final.size_bytes
    study.display.say(
        f"{baseline.metric_name} {final.baseline_test:.4f} to {final.winner_test:.4f} on "
        f"test ({percent(final.metric_loss_test)} loss), latency "
        f"{ratio_text(final.latency.ratio)} at "
        f"{as_timed(settings.latency_batch, settings.threads)}, size "
        f"{sizes.baseline / sizes.winner:.1f}x smaller"
    )
    study.display.say(f"model: {study.run.path / MODEL}")
