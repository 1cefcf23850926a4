"""python -m search.apply uniform --ratio 0.3: one plan, chosen as today's tools do.

The plan goes through the same trial as a search's: pruned, fine-tuned, quantized, exported, timed.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from search.cli import interrupts
from search.cli.parser import command_parser, run_command, share, whole
from spaces.errors import UserError
from spaces.heuristics import SENSITIVE
from spaces.layers import LayerCosts
from spaces.plan import Plan, QuantizationChoice
from trainables.files.codec import PlanField, encode
from trainables.results import Baseline, FinalFigures, TrialResult

if TYPE_CHECKING:
    from search.cli.plan_choices import Ground
    from search.config import RunConfig
    from search.console import Display
    from search.context import StudyContext
    from search.records.run_folder import RunFolder

OUTCOME = "outcome.json"


@dataclass(frozen=True)
class Outcome:
    """What became of a plan, as OUTCOME holds it."""

    way: str
    plan: PlanField
    val: TrialResult
    test: FinalFigures


# Groups whose channels are printed: a screen has some 24 lines.
SHOWN_GROUPS = 12
FLAGS = ("task", "out", "address", "batch_size", "learning_rate")


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", help='built-in name or "module:attribute" (fashion_mnist)')
    parser.add_argument("--weights", help="file for the task's weights")
    parser.add_argument("--config-file", metavar="FILE", help="a toolkit's, for its task")
    parser.add_argument("--address", help="of a running Ray cluster; default: a local one")
    parser.add_argument("--out", help="folder of the outcome (applied/<time>-<task>)")
    parser.add_argument("--config", metavar="FILE", help="YAML file of settings")
    parser.add_argument(
        "-o",
        dest="overrides",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="any other setting, for example -o finetune_samples=20000",
    )


def build_parser() -> argparse.ArgumentParser:
    from search.cli.task_help import tasks_help

    parser = command_parser("apply", __doc__, tasks_help())
    ways = parser.add_subparsers(dest="way", required=True)

    def way(name: str, about: str, default: str = "float") -> argparse.ArgumentParser:
        added = ways.add_parser(name, help=about, description=about)
        _add_common(added)
        added.add_argument(
            "--quantization",
            choices=[choice.value for choice in QuantizationChoice],
            default=default,
            help=f"what follows the pruning ({default})",
        )
        added.add_argument("--iters", type=int, help="training steps in float")
        added.add_argument("--batch-size", type=int, help="of training; the task's by default")
        added.add_argument("--learning-rate", type=float, help="its peak; the task's by default")
        return added

    _add_common(ways.add_parser("groups", help="list what can be pruned, what not, and why"))
    _add_common(ways.add_parser("sensitivities", help="measure each group alone, at each ratio"))
    one = way("uniform", "the same ratio in every group (PaddleSeg, PaddleClas)")
    one.add_argument("--ratio", type=share, required=True, help="of each group's channels")
    each = way("explicit", "a ratio for each group named (PaddleDetection)")
    each.add_argument("--ratios", required=True, help="group=0.3,other=0.5, or a YAML file")
    equal = way("threshold", "each group as far as it alone may lose (PaddleX)")
    equal.add_argument("--loss", type=share, default=0.05, help="relative, of one group (0.05)")
    flops = way("flops", "a share of all multiply-adds, by sensitivity (PaddleSeg, PaddleOCR)")
    flops.add_argument("--removed", type=share, required=True, help="of the multiply-adds")
    flops.add_argument("--skip-first", type=whole(0), default=2, help="groups near the input (2)")
    flops.add_argument(
        "--sensitive",
        type=float,
        default=SENSITIVE,
        help=f"loss at its lowest ratio from which a group is left alone ({SENSITIVE:g})",
    )
    for parser_ in (equal, flops):
        parser_.add_argument(
            "--sensitivities", metavar="FILE", help="measured elsewhere; by default measured here"
        )
    way("quantize", "no pruning", default="int8_ptq")
    return parser


def settings_from(given: argparse.Namespace) -> Any:
    """Return the configuration that the arguments ask for; there is no budget without a search."""
    from search.run import config_from

    flags = {name: getattr(given, name) for name in FLAGS if getattr(given, name, None) is not None}
    if getattr(given, "iters", None) is not None:
        flags["finetune_steps"] = given.iters
    return config_from(given, {**flags, "budget": 0.0})


def check_given(given: argparse.Namespace) -> None:
    """Raise ConfigError for a file of the plan's that cannot be read, before anything starts."""
    from search.cli.plan_choices import parse_ratios, parse_sensitivities

    if given.way == "explicit":
        parse_ratios(given.ratios)
    if getattr(given, "sensitivities", None) is not None:
        parse_sensitivities(given.sensitivities)


def list_groups(config: RunConfig, display: Display) -> int:
    """Print every group with what shrinks with it, and what is left out."""
    import tempfile

    from search.context import cluster_of, worker_settings
    from search.workers import call_worker
    from trainables.jobs import groups_job

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
    for item in found.excluded:
        display.say(f"left out: {item.name}: {item.reason}")
    display.say(f"{len(found.groups)} groups, {len(found.excluded)} left out")
    return 0


def _ground(study: StudyContext, baseline: Baseline) -> Ground:
    from search.cli.plan_choices import Ground
    from search.records.search_space import build_space
    from search.stages import measure_sensitivities
    from spaces.heuristics import Sensitivities

    space = build_space(study.config, baseline)

    def measure() -> Sensitivities:
        return measure_sensitivities(study, baseline, space)

    return Ground(space, baseline.layers, measure, study.display.say)


def removed_lines(plan: Plan, ground: Ground) -> list[str]:
    """Return what a plan removes, in all and of the groups it prunes most."""
    pruned = [g for g in ground.space.groups if plan.ratio(g.name) > 0]
    if not pruned:
        return ["nothing is removed"]
    removed = {g.name: round(plan.ratio(g.name) * g.channels) for g in pruned}
    channels = sum(g.channels for g in ground.space.groups)
    kept = ""
    if ground.layers:
        ratios = np.array([[plan.ratio(g.name) for g in ground.space.groups]])
        share = LayerCosts(ground.layers, ground.space.groups).multiply_adds(ratios)[0]
        kept = f", which leaves {share:.0%} of the multiply-adds"
    pruned.sort(key=lambda group: -plan.ratio(group.name))
    lines = [f"removed: {sum(removed.values())} of {channels} channels{kept}"]
    lines += [f"  {g.name}: {removed[g.name]} of {g.channels}" for g in pruned[:SHOWN_GROUPS]]
    if len(pruned) > SHOWN_GROUPS:
        lines.append(f"  and of {len(pruned) - SHOWN_GROUPS} more groups; plan.json has all")
    return lines


def apply(given: argparse.Namespace, config: RunConfig, run: RunFolder, display: Display) -> None:
    """Choose the plan, run its trial, read the test split once, and leave all in the folder."""
    from search.cli.plan_choices import WAYS
    from search.console import percent, ratio_text
    from search.context import StudyContext, cluster_of
    from search.records.run_folder import PLAN
    from search.reporting.advice import as_timed
    from search.stages import measure_baseline
    from search.stages.deliver import copy_model
    from search.workers import call_worker
    from trainables.jobs import final_job, trial_job
    from trainables.settings import MODEL

    with cluster_of(config, display) as cluster:
        study = StudyContext.of(config, run, cluster, display)
        settings, options = study.settings, study.placement(timed=True)
        study.store.create()
        baseline = measure_baseline(study)
        ground = _ground(study, baseline)
        if given.way == "sensitivities":
            curves = {group: list(curve) for group, curve in ground.measure().items()}
            table = {"data": config.task, "metric": baseline.metric_name, "curves": curves}
            run.keep_text("sensitivities.json", json.dumps(table, indent=1))
            display.say(f"sensitivities: {run.path / 'sensitivities.json'}")
            return
        plan = WAYS[given.way](given, ground, QuantizationChoice(given.quantization))
        run.keep_text(PLAN, json.dumps(plan.to_json(), indent=1))
        for line in removed_lines(plan, ground):
            display.say(f"{'':<12} {line}")
        with study.stage("trial", f"{len(plan.ratios)} groups pruned, {given.quantization}"):
            result = call_worker(
                display,
                "trial",
                *(trial_job, settings, baseline, study.node, plan),
                **options,
            )
        copy_model(settings.candidate_folder(0), run.path / MODEL)
        with study.stage("test", "time both, read the test split once"):
            final = call_worker(display, "test", final_job, settings, study.node, plan, **options)
    outcome = Outcome(given.way, plan, result, final)
    run.keep_text(OUTCOME, encode(Outcome, outcome, indent=1))
    sizes = final.size_bytes
    display.say(
        f"{baseline.metric_name} {final.baseline_test:.4f} to {final.winner_test:.4f} on "
        f"test ({percent(final.metric_loss_test)} loss), latency "
        f"{ratio_text(final.latency.ratio)} at "
        f"{as_timed(settings.latency_batch, settings.threads)}, size "
        f"{sizes.baseline / sizes.winner:.1f}x smaller"
    )
    display.say(f"model: {run.path / MODEL}")


def run(given: argparse.Namespace) -> int:
    config = settings_from(given)
    from search.run import check_files
    from trainables.loading import resolve

    check_files(given, config)
    resolve(config.task)
    check_given(given)
    # Ray takes seconds to import, and no mistake above needs it.
    from search.cli.settings_file import say_settings_file
    from search.console import Display
    from search.records.opening import create_plain

    display = Display()
    say_settings_file(display.say)
    if given.way == "groups":
        return list_groups(config, display)
    folder = create_plain(config)
    place = shlex.quote(str(folder.path))
    interrupts.current.advice = lambda: f"remove {place}, or name another --out, and begin again"
    try:
        apply(given, config, folder, display)
    except UserError:
        folder.discard()
        raise
    finally:
        folder.release()
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 for a model, 1 if there is none, 2 for a mistake of the user."""
    return run_command(build_parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
