"""What a pruned model recovers by training: variants side by side at equal compute.

    python -m benchmarks.recovery [--rounds NAME ...] [--minutes M]
    python -m benchmarks.recovery --print

Plans of the built-in network are trained in levels, each one cosine from the weights of the level
before. A cell is one chain of levels; its rows and weights stay in bench/work/recovery, so a run
continues where the last one ended. Losses are of validation, in float.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import paddle

    from trainables.distillation import Teacher

WORK = Path(__file__).parents[1] / "bench" / "work" / "recovery"
# Ratios by plan: the winner of a search with budget 0.1 by losses after short training, a narrower
# one, and three quarters of every group.
BLOCKS = ("0.conv1", "1.conv1", "2.conv1", "2.conv2", "3.conv1", "4.conv1", "4.conv2", "5.conv1")
GROUPS = ("stem.0.weight", *(f"blocks.{block}.weight" for block in BLOCKS))
PLANS = {
    name: {group: r for group, r in zip(GROUPS, ratios, strict=True) if r}
    for name, ratios in {
        "medium": (0.0, 0.5, 0.75, 0.5, 0.5, 0.875, 0.5, 0.4375, 0.875),
        "narrow": (0.25, 0.75, 0.875, 0.75, 0.625, 0.9375, 0.75, 0.6875, 0.9375),
        "uniform": (0.75,) * len(GROUPS),
    }.items()
}
# Cost of a training sample that does not depend on the plan, and of the teacher's run, as shares of
# a training sample of the unpruned model. The first is more than was measured later
# (LOG: training counted in compute), so narrow plans see fewer samples here than in a search.
OVERHEAD, TEACHER = 0.18, 0.04
# Total compute after each level, in training samples of the unpruned model.
LEVELS = (800, 3_200, 12_800)
EVAL_BATCH = 250
# The criterion that needs gradients: not one of the search.
TAYLOR = "taylor"


@dataclass(frozen=True)
class Segment:
    """A cosine schedule: the compute it ends at, and how it trains."""

    until: int
    taught: float = 0.0
    factor: float = 1.0
    batch: int = 32


@dataclass(frozen=True)
class Cell:
    plan: str
    segments: tuple[Segment, ...]
    seed: int = 0
    criterion: str = "l1_norm"

    @property
    def key(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self)).encode()).hexdigest()[:16]

    @property
    def before(self) -> Cell | None:
        """The chain without its last segment."""
        if len(self.segments) == 1:
            return None
        return Cell(self.plan, self.segments[:-1], self.seed, self.criterion)


@cache
def _task() -> Any:
    from trainables.tasks.fashion_mnist.task import FashionMnist

    return FashionMnist()


@cache
def _teacher() -> Teacher:
    import tempfile

    from trainables.deployment.engines.paddle_inference import PaddleEngine
    from trainables.deployment.export import export_float
    from trainables.distillation import Teacher
    from trainables.models import new_model

    folder = Path(tempfile.mkdtemp())
    export_float(new_model(_task()), _task().inputs, folder)
    return Teacher(PaddleEngine(folder, "bfloat16", 1).run)


@cache
def _baseline() -> tuple[float, Any]:
    """Return the baseline's accuracy, and its pruner for groups and layers."""
    from trainables.compression.pruner import ChannelPruner
    from trainables.models import new_model

    model = new_model(_task())
    return _figures(model)[0], ChannelPruner(model, _task().inputs)


def multiply_adds(plan: str) -> float:
    """Return the plan's remaining share of the multiply-adds."""
    from spaces.layers import LayerCosts, ratio_matrix
    from spaces.plan import Plan, PruningGroup, QuantizationChoice

    pruner = _baseline()[1]
    groups = [PruningGroup(name, group.count) for name, group in pruner.groups.items()]
    plans = [Plan.of(PLANS[plan], QuantizationChoice.FLOAT)]
    return float(LayerCosts(pruner.layers, groups).multiply_adds(ratio_matrix(groups, plans))[0])


def _figures(model: paddle.nn.Layer) -> tuple[float, float]:
    """Return accuracy and cross-entropy on validation."""
    from scipy.special import log_softmax

    from trainables.evaluation import eager

    run = eager(model)
    right, entropy = [], []
    for batch in _task().eval_batches("val", EVAL_BATCH):
        scores, labels = run(batch.inputs)[0], batch.targets.reshape(-1)
        right.append(scores.argmax(1) == labels)
        entropy.append(-log_softmax(scores.astype("f8"), axis=1)[np.arange(len(labels)), labels])
    return float(np.concatenate(right).mean()), float(np.concatenate(entropy).mean())


def _pruned(cell: Cell) -> paddle.nn.Layer:
    from benchmarks.taylor import taylor_scores
    from spaces.plan import Plan, QuantizationChoice
    from trainables.compression.pruner import ChannelPruner
    from trainables.compression.pruning import pruned_model
    from trainables.models import new_model

    if cell.criterion == TAYLOR:
        model = new_model(_task())
        pruner = ChannelPruner(model, _task().inputs)
        scores = taylor_scores(model, pruner, _task(), cell.seed)
        # The pruner asks itself for the scores.
        pruner.importance = lambda group: scores[group.name]  # type: ignore[method-assign]
        pruner.prune(PLANS[cell.plan])
        return model
    plan = Plan.of(PLANS[cell.plan], QuantizationChoice.FLOAT)
    criterion: Any = cell.criterion
    return pruned_model(_task(), plan, criterion)


def run_cell(cell: Cell) -> dict[str, Any]:
    """Return a cell's row, from its file if it is known; chains share their beginnings."""
    import paddle

    from trainables.distillation import Distillation
    from trainables.training import Trainer
    from trainables.weights import load_weights, model_weights, write_weights

    file, weights = WORK / f"{cell.key}.json", WORK / f"{cell.key}.safetensors"
    if file.exists():
        known: dict[str, Any] = json.loads(file.read_text())
        return known
    before = cell.before
    spent = 0.0
    if before is not None:
        run_cell(before)
        spent = before.segments[-1].until
    paddle.seed(cell.seed)
    model = _pruned(cell)
    if before is not None:
        load_weights(model, WORK / f"{before.key}.safetensors")
    segment = cell.segments[-1]
    remaining = multiply_adds(cell.plan)
    cost = OVERHEAD + (1 - OVERHEAD) * remaining + (TEACHER if segment.taught else 0.0)
    samples = round((segment.until - spent) / cost)
    trainer = Trainer(
        model,
        _task(),
        steps=round(samples / segment.batch),
        learning_rate=segment.factor * _task().recipe.learning_rate,
        batch_size=segment.batch,
        seed=cell.seed * 1_000 + 17 * len(cell.segments),
        distillation=(
            Distillation(_teacher(), _task(), segment.taught) if segment.taught else None
        ),
    )
    start = time.process_time()
    train_loss = trainer.run(trainer.steps)
    cpu_s = time.process_time() - start
    accuracy, entropy = _figures(model)
    baseline = _baseline()[0]
    row = {
        **asdict(cell),
        "remaining": remaining,
        "samples": samples,
        "metric_loss": (baseline - accuracy) / baseline,
        "cross_entropy": entropy,
        "train_loss": train_loss,
        "cpu_s": cpu_s,
        "hits": _teacher().hits / max(1, _teacher().samples) if segment.taught else None,
    }
    WORK.mkdir(parents=True, exist_ok=True)
    write_weights(weights, model_weights(model))
    file.write_text(json.dumps(row))
    return row


# Variants of a segment: weight of the teacher, factor on the recipe's learning rate.
WEIGHTS, FACTORS = (0.0, 0.9), (1.0, 2.0, 3.3)


def _first() -> Iterator[Cell]:
    for seed in range(2):
        for plan in PLANS:
            for taught in WEIGHTS:
                for factor in FACTORS:
                    yield Cell(plan, (Segment(LEVELS[0], taught, factor),), seed)


# The first level of chains that vary later ones (LOG: what recovers a pruned model).
START = (Segment(LEVELS[0]),)


def _second() -> Iterator[Cell]:
    for taught in WEIGHTS:
        for factor in FACTORS:
            for plan in PLANS:
                yield Cell(plan, (*START, Segment(LEVELS[1], taught, factor)))


def _third() -> Iterator[Cell]:
    for taught in reversed(WEIGHTS):
        for plan in PLANS:
            yield Cell(plan, (*START, Segment(LEVELS[1], taught), Segment(LEVELS[2], taught)))


def _low() -> Iterator[Cell]:
    """Half of the recipe's learning rate."""
    for taught in WEIGHTS:
        for plan in PLANS:
            yield Cell(plan, (Segment(LEVELS[0], taught, 0.5),))
            yield Cell(plan, (*START, Segment(LEVELS[1], taught, 0.5)))


def _whole() -> Iterator[Cell]:
    """One cosine from the pruned weights on."""
    for plan in PLANS:
        yield Cell(plan, (Segment(LEVELS[1], 0.9),))
    for plan in PLANS:
        yield Cell(plan, (Segment(LEVELS[2], 0.9),))


def _criteria() -> Iterator[Cell]:
    for seed in range(2):
        for criterion in ("l2_norm", "geometric_median", "batch_norm_scale", TAYLOR):
            for plan in PLANS:
                yield Cell(plan, START, seed, criterion)


def _taught_criteria() -> Iterator[Cell]:
    """The criterion of the search, and the one with gradients, after the search's two levels."""
    taught = Segment(LEVELS[1], 0.9)
    for seed in range(3):
        for plan in PLANS:
            for criterion in ("l1_norm", TAYLOR):
                yield Cell(plan, (*START, taught), seed, criterion)


ROUNDS = {
    "first": _first,
    "second": _second,
    "third": _third,
    "low": _low,
    "whole": _whole,
    "criteria": _criteria,
    "taught criteria": _taught_criteria,
}


def table(rows: pd.DataFrame) -> str:
    """Return mean loss and cross-entropy by the chain of variants, a column a plan."""
    rows = rows.assign(
        chain=[
            " > ".join(
                f"{s['until']} t{s['taught']:g} x{s['factor']:g} b{s['batch']}" for s in segments
            )
            + ("" if criterion == "l1_norm" else f" {criterion}")
            for segments, criterion in zip(rows["segments"], rows["criterion"], strict=True)
        ],
        metric_loss=100 * rows["metric_loss"],
    )
    means = rows.pivot_table(
        index="chain", columns="plan", values=["metric_loss", "cross_entropy"], aggfunc="mean"
    )
    counts = rows.groupby("chain").size().rename("cells")
    with pd.option_context("display.width", 200, "display.max_colwidth", 120):
        found: str = means.round(3).assign(cells=counts).to_string()
    return found


def known_rows() -> pd.DataFrame:
    return pd.DataFrame([json.loads(file.read_text()) for file in sorted(WORK.glob("*.json"))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", nargs="+", choices=list(ROUNDS), default=list(ROUNDS))
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--print", action="store_true", help="only print what is known")
    given = parser.parse_args()
    end = time.monotonic() + 60 * given.minutes
    if not given.print:
        import trainables.compression.slim  # noqa: F401

        for name in given.rounds:
            for cell in ROUNDS[name]():
                if time.monotonic() > end:
                    break
                row = run_cell(cell)
                print(name, cell.plan, f"{row['metric_loss']:.4f}", flush=True)
    print(table(known_rows()))


if __name__ == "__main__":
    main()
