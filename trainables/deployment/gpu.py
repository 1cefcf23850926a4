"""All code for GPUs. It has never been run on a GPU: `make gpu-check` does that, on a machine that
has one, and writes a report.

Ray sets CUDA_VISIBLE_DEVICES for each worker, so paddle's first GPU is the worker's.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import paddle
import paddle.distributed
import paddle.inference

from spaces.errors import ConfigError
from spaces.plan import Precision

PaddleDevice = Literal["onednn", "gpu", "tensorrt"]
"""What Paddle Inference runs on: the CPU, a GPU, or TensorRT on a GPU."""
# Precisions of Paddle Inference on a GPU.
PRECISIONS: Mapping[PaddleDevice, tuple[Precision, ...]] = {
    "gpu": ("float", "float16", "bfloat16"),
    "tensorrt": ("float", "float16", "int8"),
}
MODES: Mapping[Precision, str] = {
    "float": "Float32",
    "float16": "Half",
    "bfloat16": "Bfloat16",
    "int8": "Int8",
}
"""Names of the precisions in `paddle.inference.PrecisionType`."""

# Least compute capability of GPUs with bfloat16 arithmetic, and with TF32 (Ampere).
AMPERE = (8, 0)
# Least of GPUs that gain by training in float16 (Volta); `paddle.amp.auto_cast` does nothing below.
TRAINING_CAPABILITY = (7, 0)
# GPU memory that an engine reserves at first, in MB; it grows on demand. A guess.
MEMORY_MB = 256
# Memory for TensorRT's kernels. A guess.
WORKSPACE_BYTES = 1 << 30
# Fewest operators of a subgraph that TensorRT runs: Paddle's default.
MIN_SUBGRAPH = 3
# Seconds of runs before engines are timed: cuDNN chooses its kernels in the first runs, and clocks
# rise from idle within some tenths of a second. A guess.
WARMUP_S = 1.0
# What is asked of nvidia-smi, in its own names.
STATE = (
    *("name", "driver_version", "pstate", "clocks.sm", "clocks.max.sm", "power.draw"),
    *("power.limit", "temperature.gpu", "persistence_mode"),
)
# Seconds after which nvidia-smi, which answers within one, is given up. A guess.
STATE_LIMIT_S = 20.0


def has_gpu() -> bool:
    """Return whether paddle has CUDA and this process sees a GPU."""
    return bool(paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0)


def has_capability(least: tuple[int, int]) -> bool:
    """Return whether this process sees a GPU of at least a compute capability."""
    return has_gpu() and paddle.device.cuda.get_device_capability() >= least


def rounds_floats() -> bool:
    """Return whether products of floats are computed in TF32, with 11 bits of mantissa as float16
    has: Paddle's default, in the framework and in engines."""
    return has_capability(AMPERE)


def choose_device() -> str:
    """Set paddle's device to this worker's GPU, else to the CPU; return its name."""
    device = "gpu:0" if has_gpu() else "cpu"
    paddle.set_device(device)
    return device


def distributed_backend() -> str:
    """Return the backend of paddle.distributed."""
    return "nccl" if has_gpu() else "gloo"


def join_workers() -> None:
    """Join the other workers of a data-parallel training: by NCCL on GPUs, else by gloo."""
    os.environ["PADDLE_DISTRI_BACKEND"] = distributed_backend()
    if has_gpu():
        # NCCL's setup demands it of Paddle's launcher: this worker's GPU, of those that it sees.
        os.environ["FLAGS_selected_gpus"] = "0"  # noqa: SIM112  (its own spelling)
    paddle.distributed.init_parallel_env()


def synchronize() -> None:
    """Wait for the GPU, since its calls return before the work is done."""
    if has_gpu():
        paddle.device.cuda.synchronize()


def precisions(kind: PaddleDevice) -> tuple[Precision, ...]:
    """Return the precisions of a kind of device on this machine's GPU; without one, all that every
    GPU has."""
    able = has_capability(AMPERE)
    return tuple(found for found in PRECISIONS[kind] if able or found != "bfloat16")


def versions(kind: PaddleDevice) -> dict[str, object]:
    """Return what latencies on a GPU depend on, beside the model: the GPU and the libraries."""
    return {
        "gpu": paddle.device.cuda.get_device_name() if has_gpu() else None,
        "cuda": paddle.version.cuda(),
        "cudnn": paddle.version.cudnn(),
        "tensorrt": tensorrt_version() if kind == "tensorrt" else None,
    }


def tensorrt_version() -> str | None:
    """Return the version of TensorRT that paddle was built with, None if with none."""
    found = paddle.inference.get_trt_compile_version()
    return ".".join(str(part) for part in found) if any(found) else None


def power_state() -> str | None:
    """Return what nvidia-smi says of this worker's GPU, a line such as "name NVIDIA T4, pstate P0,
    clocks.sm 1590 MHz"; None without it or if it fails."""
    command = ["nvidia-smi", f"--query-gpu={','.join(STATE)}", "--format=csv,noheader"]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    if visible:
        command.append(f"--id={visible}")
    try:
        ended = subprocess.run(
            command, capture_output=True, text=True, timeout=STATE_LIMIT_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    values = [value.strip() for value in ended.stdout.partition("\n")[0].split(",")]
    if ended.returncode != 0 or len(values) != len(STATE):
        return None
    return ", ".join(f"{name} {value}" for name, value in zip(STATE, values, strict=True))


def check_usable(kind: PaddleDevice) -> None:
    """Raise ConfigError if this process has no GPU, or if TensorRT is asked for and missing."""
    if not has_gpu():
        raise ConfigError(
            f"engine cannot be {kind!r}: paddle sees no GPU; omit engine to use the CPU, or "
            "install paddlepaddle-gpu and set -o gpus_per_trial=1"
        )
    if kind == "tensorrt" and tensorrt_version() is None:
        raise ConfigError(
            "engine cannot be 'tensorrt': this paddle was built without TensorRT; use "
            "-o engine=gpu, or install a paddlepaddle-gpu with it"
        )


def mode(precision: Precision) -> paddle.inference.PrecisionType:
    """Return Paddle Inference's own name of a precision."""
    return getattr(paddle.inference.PrecisionType, MODES[precision])


def configure_gpu(config: paddle.inference.Config, precision: Precision) -> None:
    """Configure an engine for the GPU. Inputs and outputs stay in float in every precision."""
    # As PaddleX has it.
    config.exp_disable_mixed_precision_ops({"feed", "fetch"})
    config.enable_use_gpu(MEMORY_MB, 0, mode(precision))


def configure_tensorrt(
    config: paddle.inference.Config,
    precision: Precision,
    *,
    largest_batch: int,
    shapes_file: str,
    cache_folder: str,
) -> None:
    """Configure an engine for TensorRT on the GPU.

    `shapes_file` has the range of every tensor's shape (tensorrt.py). Paddle looks for built
    engines in `cache_folder`, by their operators but not by their weights, and writes those there
    that it builds.
    """
    # What TensorRT does not run stays in float.
    config.enable_use_gpu(MEMORY_MB, 0, mode("float"))
    config.enable_tensorrt_engine(
        workspace_size=WORKSPACE_BYTES,
        max_batch_size=largest_batch,
        min_subgraph_size=MIN_SUBGRAPH,
        precision_mode=mode(precision),
        # Building an engine takes minutes.
        use_static=True,
        # The model has its scales, from calibration or training.
        use_calib_mode=False,
    )
    # A batch outside the range, which only a task's own evaluation may have, builds another engine.
    config.enable_tuned_tensorrt_dynamic_shape(shapes_file, True)
    config.set_optim_cache_dir(cache_folder)


class MixedPrecision:
    """Training in float16 where that loses nothing, on a GPU; in float without one, or if not
    `wanted`. The loss is scaled, so that small gradients are not 0 in float16 (Micikevicius et
    al., ICLR 2018)."""

    def __init__(self, wanted: bool) -> None:
        self.on = wanted and has_capability(TRAINING_CAPABILITY)
        self._scaler = paddle.amp.GradScaler() if self.on else None

    def _cast(self) -> AbstractContextManager[None]:
        return paddle.amp.auto_cast(dtype="float16") if self.on else nullcontext()

    def outputs(self, model: paddle.nn.Layer, inputs: Sequence[paddle.Tensor]) -> Any:
        """Return a model's outputs, in float: a task's own loss may overflow in float16."""
        with self._cast():
            outputs = model(*inputs)
        return paddle.utils.map_structure(in_float, outputs) if self.on else outputs

    def step(self, loss: paddle.Tensor, optimizer: paddle.optimizer.Optimizer) -> None:
        """Compute the gradients and take a step; none if a gradient is not finite in float16."""
        if self._scaler is None:
            loss.backward()
            optimizer.step()
        else:
            self._scaler.scale(loss).backward()
            self._scaler.step(optimizer)
            self._scaler.update()
        optimizer.clear_grad()


def in_float(value: Any) -> Any:
    """Return a tensor of float16 in float, any other value as it is."""
    if isinstance(value, paddle.Tensor) and value.dtype == paddle.float16:
        return value.astype("float32")
    return value
