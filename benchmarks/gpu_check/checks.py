"""The checks. `python -m benchmarks.gpu_check.checks NAME` makes one: its last line is what it
found, an exception why it failed."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.gpu_check.report import SKIPPED, Check
from trainables.settings import OUTCOME

if TYPE_CHECKING:
    from spaces.plan import Precision
    from trainables.deployment.engines.registry import LocalKind
    from trainables.settings import TrialSettings
    from trainables.task import Task

ENGINES: tuple[tuple[LocalKind, Precision], ...] = (
    *(("gpu", "float"), ("gpu", "float16"), ("gpu", "bfloat16")),
    *(("tensorrt", "float"), ("tensorrt", "float16"), ("tensorrt", "int8")),
)
# Seconds of all checks together, and of single ones; their sum is more, but none should need its
# own. Guesses.
WHOLE_S = 600.0
DEVICE_S, TRAINING_S, ENGINE_S, SEARCH_S = 60.0, 90.0, 120.0, 240.0
# Steps of the training that is tried. A guess.
STEPS = 60
# Side of the matrices that are multiplied, and the largest error relative to the largest value:
# float with TF32 has 11 bits of mantissa. Guesses.
SIDE, MATRIX_ERROR = 512, 5e-3
BATCH = 64
# Settings of a search that is short, but whose winner is certain to be retrained: no plan is
# trained in full by its trial, and the unpruned one, which nothing trains, is the largest.
SHORT = {
    "engine": "gpu",
    "gpus_per_trial": 1,
    "choices": "[float, float16]",
    "objective": "size",
    "finetune_samples": 320,
    "promotion_factor": 2,
    "retrain_samples": 2240,
    "finalists": 0,
    "retrain_candidates": 1,
    "sensitivity_points": 2,
    "latency_points": 4,
    "latency_effort": 0.1,
    # However slow a plan seems beside other work, it is not stopped.
    "max_latency_ratio": 100,
    "confidence_z": 0,
}


class SkipError(Exception):
    """This machine lacks what the check needs."""


def all_checks() -> list[Check]:
    """Return the checks in the order in which they are made."""

    def check(name: str, what: str, limit_s: float) -> Check:
        return Check(name, what, (sys.executable, "-m", __name__, name), limit_s)

    engines = [
        check(f"{kind}-{precision}", f"the built-in network in {precision} on {kind}", ENGINE_S)
        for kind, precision in ENGINES
    ]
    return [
        check("device", "Paddle sees the GPU and computes on it", DEVICE_S),
        check("power", "nvidia-smi tells clocks and power", DEVICE_S),
        check("training", "training in float16, beside training in float", TRAINING_S),
        check("library", "Paddle has TensorRT, and its library is found", DEVICE_S),
        *engines,
        check("search", "a search of four trials on the GPU", SEARCH_S),
        check("nccl", "a search whose retrain has two workers, by NCCL", SEARCH_S),
    ]


def device() -> str:
    """Compare a product of matrices with the CPU's."""
    import numpy as np
    import paddle

    from trainables.deployment import gpu

    name = gpu.choose_device()
    if name == "cpu":
        raise RuntimeError("paddle sees no GPU")
    left, right = np.random.default_rng(0).standard_normal((2, SIDE, SIDE)).astype("float32")
    product = (paddle.to_tensor(left) @ paddle.to_tensor(right)).numpy()
    gpu.synchronize()
    error = float(np.abs(product - left @ right).max() / np.abs(product).max())
    if not error < MATRIX_ERROR:
        raise RuntimeError(f"a product of matrices is wrong by {error:.2g}")
    told = ", ".join(f"{key} {value}" for key, value in gpu.versions("tensorrt").items())
    capability = paddle.device.cuda.get_device_capability()
    return f"{paddle.device.cuda.device_count()} GPUs, {told}, compute capability {capability}"


def power() -> str:
    """Ask nvidia-smi."""
    from trainables.deployment import gpu

    state = gpu.power_state()
    if state is None:
        raise RuntimeError("nvidia-smi is missing, or says something else than it was asked")
    return state


def library() -> str:
    """Look for TensorRT's library."""
    import paddle.inference

    from trainables.deployment import gpu

    built = gpu.tensorrt_version()
    if built is None:
        raise RuntimeError("this paddle was built without TensorRT")
    found = ".".join(str(part) for part in paddle.inference.get_trt_runtime_version())
    return f"built with TensorRT {built}, found {found}"


def training() -> str:
    """Train the built-in network from nothing, in float and in float16."""
    import paddle

    from trainables.deployment import gpu
    from trainables.training import Trainer

    task, _ = _problem("gpu", Path())
    gpu.choose_device()
    found = []
    for mixed in (False, True):
        paddle.seed(0)
        network = type(task.build_model())()
        trainer = Trainer(
            *(network, task),
            steps=STEPS,
            learning_rate=task.recipe.learning_rate,
            batch_size=BATCH,
            seed=0,
            mixed_precision=mixed,
        )
        first = trainer.run(STEPS // 3)
        begun = time.monotonic()
        last = trainer.run(STEPS - STEPS // 3)
        seconds = time.monotonic() - begun
        name = "float16" if trainer.arithmetic.on else "float"
        if not last < first:
            raise RuntimeError(f"{name}: the loss went from {first:.3g} to {last:.3g}")
        found.append(f"{name}: loss {first:.3g} to {last:.3g} in {seconds:.2f} s")
    return "; ".join(found)


def engine(kind: LocalKind, precision: Precision, other: LocalKind = "gpu") -> str:
    """Export the built-in network, compare it with the model, time it beside float on `other`."""
    import numpy as np

    from trainables.compression.quantization import export_candidate
    from trainables.deployment.engines.registry import load_engine, runtime
    from trainables.engine_times import UNTRAINED
    from trainables.evaluation import first_samples
    from trainables.probe import QUICK, NoLease, time_in_turn

    if precision not in runtime(kind).precisions():
        raise SkipError(f"this GPU has no {precision}")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        task, settings = _problem(kind, root)
        choice = UNTRAINED[precision]
        begun = time.monotonic()
        made, difference = export_candidate(
            task.build_model(), choice, None, task, settings, root / "model"
        )
        built_s, begun = time.monotonic() - begun, time.monotonic()
        again = load_engine(root / "model", precision, settings)
        # Other batches than the timed one, too.
        for batch in (1, BATCH, BATCH // 2 + 1):
            inputs = first_samples(task, batch)
            first, second = made.run(inputs)[0], again.run(inputs)[0]
            if first.shape != second.shape or not np.isfinite(first).all():
                raise RuntimeError(f"batch {batch}: outputs {first.shape} and {second.shape}")
        loaded_s = time.monotonic() - begun
        beside = settings.having(engine=other)
        float_engine, _ = export_candidate(
            task.build_model(), UNTRAINED["float"], None, task, beside, root / "float"
        )
        batches = [first_samples(task, BATCH)]
        runs_ms = time_in_turn([made, float_engine], batches, NoLease(), QUICK)[..., 0]
        own_ms, float_ms = np.median(runs_ms, axis=0)
        spread = float(runs_ms[:, 0].std() / runs_ms[:, 0].mean())
    return (
        f"outputs differ by {difference:.2g}, {own_ms:.3f} ms a run of {BATCH} (spread "
        f"{spread:.1%}), float on {other} {float_ms:.3f} ms; built in {built_s:.1f} s, loaded "
        f"again in {loaded_s:.1f} s"
    )


def _problem(kind: LocalKind, root: Path) -> tuple[Task, TrialSettings]:
    from trainables.loading import load_task
    from trainables.settings import TrialSettings

    settings = TrialSettings(
        run_folder=str(root / "run"),
        cache_folder=str(root / "cache"),
        engine=kind,
        latency_batch=BATCH,
    )
    return load_task(settings.task, {}), settings


def search_command(folder: Path, **settings: object) -> list[str]:
    """Return the command of a short search of four trials."""
    chosen = {**SHORT, "cache": folder / "cache", **settings}
    options = [part for name, value in chosen.items() for part in ("-o", f"{name}={value}")]
    goal = ("--budget", "0.5", "--trials", "4", "--out", str(folder / "run"))
    return [sys.executable, "-m", "search.run", *goal, *options]


def search(workers: int = 1, **settings: object) -> str:
    """Run a search to its delivered model, with some workers in its retrain."""
    with tempfile.TemporaryDirectory() as folder:
        command = search_command(Path(folder), retrain_workers=workers, **settings)
        ended = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        print(ended.stdout)
        if ended.returncode != 0:
            raise RuntimeError(f"exit status {ended.returncode}: {ended.stdout.strip()[-200:]}")
        if not (Path(folder) / "run" / "manifest.json").is_file():
            raise RuntimeError("no manifest was written")
        took_part = {json.loads(p.read_text())["workers"] for p in Path(folder).rglob(OUTCOME)}
    if took_part != {workers}:
        raise RuntimeError(f"retrains had {took_part or 'no'} workers, not {workers}")
    return next(line for line in ended.stdout.splitlines() if line.startswith("winner"))


def nccl() -> str:
    """Retrain on two GPUs."""
    import paddle

    if paddle.device.cuda.device_count() < 2:
        raise SkipError("there are fewer than two GPUs")
    return search(workers=2)


def functions() -> dict[str, Callable[[], str]]:
    """Return what makes each check, by its name."""
    return {
        **{f"{kind}-{precision}": partial(engine, kind, precision) for kind, precision in ENGINES},
        "device": device,
        "power": power,
        "library": library,
        "training": training,
        "search": search,
        "nccl": nccl,
    }


def main(name: str) -> int:
    """Make one check; return its exit status."""
    import trainables  # noqa: F401  (sets Paddle up before it is imported)

    try:
        print(functions()[name]())
    except SkipError as reason:
        print(reason)
        return SKIPPED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
