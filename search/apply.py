"""python -m search.apply uniform --ratio 0.3: one plan, chosen as today's tools do.

The plan goes through the same trial as a search's: pruned, fine-tuned, quantized, exported, timed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from search.cli.configuration import (
    add_setting_flags,
    add_task_flags,
    check_engine,
    check_task,
    config_from,
    flags_given,
)
from search.cli.parser import command_parser, run_command, share, whole
from spaces.heuristics import SENSITIVE
from spaces.plan import QuantizationChoice

if TYPE_CHECKING:
    from search.config import RunConfig

# Flags that are settings of the same name.
FLAGS = ("task", "out", "address", "batch_size", "learning_rate")


def _subcommand(
    choices: argparse._SubParsersAction[argparse.ArgumentParser], name: str, about: str
) -> argparse.ArgumentParser:
    added = choices.add_parser(name, help=about, description=about)
    add_task_flags(added)
    added.add_argument("--out", help="folder of the outcome (applied/<time>-<task>)")
    add_setting_flags(added)
    return added


def _plan_choice(
    choices: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    about: str,
    default: str = "float",
) -> argparse.ArgumentParser:
    added = _subcommand(choices, name, about)
    offered = [choice.value for choice in QuantizationChoice]
    help_ = f"precision of the pruned model ({default})"
    added.add_argument("--quantization", choices=offered, default=default, help=help_)
    added.add_argument("--iters", type=int, help="training steps in float")
    added.add_argument("--batch-size", type=int, help="of the training (the task's)")
    added.add_argument("--learning-rate", type=float, help="peak of the schedule (the task's)")
    return added


def build_parser() -> argparse.ArgumentParser:
    from search.cli.task_help import tasks_help

    parser = command_parser("apply", __doc__, tasks_help())
    choices = parser.add_subparsers(dest="chosen_by", required=True)
    _subcommand(choices, "groups", "list the groups that can be pruned, and the excluded ones")
    _subcommand(choices, "sensitivities", "measure every group's sensitivity at several ratios")
    one = _plan_choice(choices, "uniform", "the same ratio in every group (PaddleSeg, PaddleClas)")
    one.add_argument("--ratio", type=share, required=True, help="of each group's channels")
    each = _plan_choice(choices, "explicit", "a ratio for each group named (PaddleDetection)")
    each.add_argument("--ratios", required=True, help="group=0.3,other=0.5, or a YAML file")
    equal = _plan_choice(choices, "threshold", "the same sensitivity in every group (PaddleX)")
    equal.add_argument(
        "--loss", type=share, default=0.05, help="relative metric drop allowed to each group (0.05)"
    )
    flops = _plan_choice(choices, "flops", "a share of all FLOPs (PaddleSeg, PaddleOCR)")
    flops.add_argument("--removed", type=share, required=True, help="share of all multiply-adds")
    flops.add_argument("--skip-first", type=whole(0), default=2, help="groups near the input (2)")
    flops.add_argument(
        "--sensitive",
        type=float,
        default=SENSITIVE,
        help=f"sensitivity at the lowest ratio from which a group is not pruned ({SENSITIVE:g})",
    )
    for parser_ in (equal, flops):
        parser_.add_argument(
            "--sensitivities", metavar="FILE", help="measured before (they are measured here)"
        )
    whole_ = _plan_choice(choices, "quantize", "no pruning", default="int8_ptq")
    whole_.add_argument(
        "--float-layers", metavar="NAME,...", help="layers that stay in float beside INT8 ones"
    )
    whole_.add_argument(
        "--auto", action="store_true", help="layers stay in float until the loss is in the budget"
    )
    whole_.add_argument(
        "--budget", type=share, help="relative loss on validation that --auto allows"
    )
    return parser


def settings_from(given: argparse.Namespace) -> RunConfig:
    """Return the configuration that the arguments ask for; without a search the budget is 0."""
    flags = flags_given(given, FLAGS)
    if getattr(given, "iters", None) is not None:
        flags["finetune_steps"] = given.iters
    return config_from(given, {**flags, "budget": 0.0})


def run(given: argparse.Namespace) -> int:
    from search.cli.plan_choices import check_given

    config = settings_from(given)
    check_task(given, config)
    check_given(given)
    chosen = getattr(given, "quantization", None)
    check_engine(config, [QuantizationChoice(chosen)] if chosen else ())
    # Importing Ray takes seconds, and no check above needs it.
    from search.cli.apply_plan import apply, list_groups

    (list_groups if given.chosen_by == "groups" else apply)(given, config)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 for a model, 1 if there is none, 2 for a mistake of the user."""
    return run_command(build_parser, run, argv)


if __name__ == "__main__":
    sys.exit(main())
