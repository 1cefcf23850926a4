"""The part `delivered` of `make bench`: all blocks, then a judgement of each."""

from __future__ import annotations

from pathlib import Path

from benchmarks.delivered.block import read_rows, run_block
from benchmarks.delivered.judging import Judged, judge
from benchmarks.delivered.methods import METHODS, OURS
from benchmarks.delivered.methods.ours import (
    FASTEST_ENGINE,
    LAYER_PRECISION,
    WITHOUT,
    WITHOUT_BRANCHES,
)
from benchmarks.delivered.problems import (
    COMPARED,
    ON_ENGINES,
    PROBLEMS,
    SECONDS,
    WITH_BRANCHES,
    WITH_LAYERS,
)
from trainables.files.codec import decode, encode

SEEDS = 3
# The problems on which parts of our search are taken away; on others only branches are.
ABLATED = ("fashion_mnist", "digits")


def methods_on(problem: str) -> list[str]:
    """Return the methods that are compared on a problem, variants of our search last."""
    methods = {
        **dict.fromkeys(METHODS if problem in COMPARED else ()),
        **dict.fromkeys([OURS, WITHOUT_BRANCHES] if problem in WITH_BRANCHES else ()),
        **dict.fromkeys(WITHOUT if problem in ABLATED else ()),
        **dict.fromkeys([OURS, FASTEST_ENGINE] if problem in ON_ENGINES else ()),
        **dict.fromkeys([FASTEST_ENGINE, LAYER_PRECISION] if problem in WITH_LAYERS else ()),
    }
    return list(methods)


def measure(work: Path, *, finished: bool, seconds: float = SECONDS) -> list[Judged]:
    """Return the figures of all delivered models; with `finished`, of finished cells alone."""
    if not finished:
        for seed in range(SEEDS):
            for problem in PROBLEMS:
                run_block(problem, seed, seconds, methods_on(problem), work)
    blocks = {(row.problem, row.seed): None for row in read_rows(work, seconds)}
    return [model for block in blocks for model in judge(*block, seconds, work)]


def written(judged: list[Judged]) -> str:
    """Return the models as JSON, one a line."""
    lines = [encode(Judged, model) for model in judged]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def read(file: Path) -> list[Judged]:
    """Return the models that `written` wrote, none if there is no file."""
    if not file.is_file():
        return []
    return decode(list[Judged], file.read_bytes())
