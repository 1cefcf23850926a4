"""The branches of every model of the zoo, taken out and compared with the mask.

    python -m benchmarks.models.branches [--only NAME ...] [--work FOLDER]

writes bench/branches.json, a row per model, and the table in docs/benchmarks.md. Weights are
random: nothing is trained. Each model has its own process; rows of other models stay as they are.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.models.measure import WORK
from benchmarks.models.zoo import CASES
from benchmarks.page import write_table
from benchmarks.summary import machine

TARGET = Path("bench/branches.json")
VISION = (
    *("alexnet", "densenet121", "googlenet", "mobilenet_v1", "mobilenet_v2"),
    *("mobilenet_v3_large", "mobilenet_v3_small", "resnet18", "resnet50", "resnext50_32x4d"),
    *("shufflenet_v2_x1_0", "squeezenet1_1", "vgg11", "wide_resnet50_2"),
)
"""Of paddle.vision's families one or two each. InceptionV3 has a width of 2,048 written into its
code: most of its branches fail, and finding that out takes minutes."""
SIDE = 224
# Runs of each engine, in turn with the other's. A guess.
RUNS = 15


@dataclass(frozen=True)
class Row:
    model: str
    groups: int = 0
    branches: int = 0
    excluded: int = 0
    """Ends of branches that cannot be taken out."""
    seconds: float = 0.0
    """To trace the model and find groups and branches, in wall time."""
    worst_alone: float = 0.0
    """Largest difference from the mask of one branch, as a share of the outputs' spread."""
    together: float = 0.0
    """The same with all branches taken out."""
    exported: float = 0.0
    """Largest difference of the export without branches from that model."""
    operators: tuple[int, int] = (0, 0)
    """That the engine runs, whole and without branches."""
    latency_ms: tuple[float, float] = (0.0, 0.0)
    """Of two samples, one thread, float; whole and without branches, timed in turn."""
    failed: str | None = None


def _model(name: str, work: Path) -> tuple[Callable[[], Any], Sequence[Any]]:
    """Return a function that builds a model with random weights, and its inputs."""
    import paddle

    from trainables.loading import load_task
    from trainables.task import ModelInput

    if name not in CASES:
        return getattr(paddle.vision.models, name), [ModelInput("image", (3, SIDE, SIDE))]
    task: Any = load_task(CASES[name].task, CASES[name].task_options(work))
    return task.build_untrained, task.inputs


def _difference(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> float:
    """Return the largest difference as a share of the outputs' spread; of their size, if they are
    the same for all samples but for rounding."""
    from trainables.compression.graph.verification import MIN_SPREAD

    shares = []
    for output, wanted in zip(found, expected, strict=True):
        size, spread = float(np.abs(wanted).max()), float(wanted.std())
        varies = spread > MIN_SPREAD[str(wanted.dtype)] * size
        shares.append(float(np.abs(output - wanted).max()) / (spread if varies else size or 1.0))
    return max(shares)


def examine(name: str, work: Path) -> Row:
    """Return the row of a model. Its branches are taken out each alone, then all together."""
    import paddle

    from trainables.compression.graph.groups import survey_groups
    from trainables.compression.graph.verification import random_samples
    from trainables.compression.pruner import ChannelPruner
    from trainables.deployment.engines.paddle_inference import PaddleEngine
    from trainables.deployment.export import export_float
    from trainables.evaluation import predict

    paddle.seed(0)
    build, inputs = _model(name, work)
    model = build()
    model.eval()
    start = time.perf_counter()
    pruner = ChannelPruner(model, inputs)
    seconds = time.perf_counter() - start
    arrays = random_samples(inputs)
    samples = [paddle.to_tensor(array) for array in arrays]
    # Code that has a width written into it makes a branch stay.
    survey = survey_groups(lambda: model, inputs)
    names = [branch.name for branch in survey.branches]
    differences = []
    for chosen in [*([name] for name in names), names]:
        ratios = dict.fromkeys(chosen, 1.0)
        pruner.prune(ratios)
        found = predict(model, samples)
        pruner.restore()
        with pruner.mask(ratios):
            differences.append(_difference(found, predict(model, samples)))
    with tempfile.TemporaryDirectory() as folder:
        folders = [Path(folder) / part for part in ("whole", "without")]
        export_float(model, inputs, folders[0])
        pruner.prune(dict.fromkeys(names, 1.0))
        expected = predict(model, samples)
        export_float(model, inputs, folders[1])
        engines = [PaddleEngine(part, "float", 1) for part in folders]
        exported = _difference(engines[1].run(arrays), expected)
        counts = [len(engine.operators()) for engine in engines]
        times = _in_turn(engines, arrays)
    return Row(
        name,
        len(survey.groups),
        len(names),
        len(survey.kept_branches),
        round(seconds, 2),
        max(differences[:-1], default=0.0),
        differences[-1],
        exported,
        (counts[0], counts[1]),
        (times[0], times[1]),
    )


def _in_turn(engines: Sequence[Any], arrays: Sequence[np.ndarray]) -> list[float]:
    """Return the median milliseconds of each engine, after a first round."""
    times: list[list[float]] = [[] for _ in engines]
    for turn in range(RUNS + 1):
        for engine, found in zip(engines, times, strict=True):
            start = time.perf_counter()
            engine.run(arrays)
            if turn:
                found.append(1e3 * (time.perf_counter() - start))
    return [round(float(np.median(found)), 2) for found in times]


def table(rows: Sequence[Row]) -> str:
    lines = [
        "| model | groups | branches (excluded) | found in, s | alone | together | exported "
        "| operators | latency, ms |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        if row.failed is not None:
            lines.append(f"| {row.model} | {row.failed} | | | | | | | |")
            continue
        differences = " | ".join(f"{d:.0e}" for d in (row.worst_alone, row.together, row.exported))
        lines.append(
            f"| {row.model} | {row.groups} | {row.branches} ({row.excluded}) | {row.seconds:.1f} "
            f"| {differences} | {row.operators[0]} / {row.operators[1]} "
            f"| {row.latency_ms[0]:.1f} / {row.latency_ms[1]:.1f} |"
        )
    return "\n".join(lines)


def _examined(name: str, work: Path) -> Row:
    """Return the row of a model from a process of its own, or why it failed."""
    code = (
        "import json, sys; from dataclasses import asdict; from pathlib import Path;"
        "from benchmarks.models.branches import examine;"
        "print(json.dumps(asdict(examine(sys.argv[1], Path(sys.argv[2])))))"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, name, str(work)], capture_output=True, text=True, check=False
    )
    if finished.returncode:
        return Row(name, failed=(finished.stderr.strip().splitlines() or ["no message"])[-1])
    return Row(**json.loads(finished.stdout.strip().splitlines()[-1]))


def main() -> None:
    names = [*CASES, *VISION]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=names, choices=names)
    parser.add_argument("--work", type=Path, default=WORK)
    chosen = parser.parse_args()
    known = json.loads(TARGET.read_text())["models"] if TARGET.is_file() else []
    rows = {row["model"]: Row(**row) for row in known}
    for name in chosen.only:
        rows[name] = _examined(name, chosen.work.absolute())
        print(rows[name], flush=True)
        ordered = [rows[name] for name in names if name in rows]
        content = {"machine": machine(), "models": [asdict(row) for row in ordered]}
        TARGET.write_text(json.dumps(content, indent=1) + "\n")
        write_table("branches", table(ordered))


if __name__ == "__main__":
    main()
