"""The part `delivered` of `make bench`: all blocks, then all judgements."""

from __future__ import annotations

from pathlib import Path

from benchmarks.delivered.block import run_block
from benchmarks.delivered.judging import Judged, judge
from benchmarks.delivered.methods import METHODS
from benchmarks.delivered.methods.ours import WITHOUT
from benchmarks.delivered.problems import PROBLEMS, SECONDS
from trainables.files.codec import decode, encode

SEEDS = 3
# The problems on which parts of our search are taken away.
ABLATED = ("fashion_mnist", "digits")


def measure(work: Path, *, finished: bool, seconds: float = SECONDS) -> list[Judged]:
    """Return the figures of all delivered models; with `finished`, of finished cells alone."""
    if not finished:
        for seed in range(SEEDS):
            for problem in PROBLEMS:
                methods = list(METHODS)
                if problem in ABLATED:
                    methods += WITHOUT
                run_block(problem, seed, seconds, methods, work)
    return [model for problem in PROBLEMS for model in judge(problem, seconds, work)]


def written(judged: list[Judged]) -> str:
    """Return the models as JSON, one a line."""
    lines = [encode(Judged, model) for model in judged]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def read(file: Path) -> list[Judged]:
    """Return the models that `written` wrote."""
    return decode(list[Judged], file.read_bytes())
