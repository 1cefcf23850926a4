"""All code for GPUs. It has never been run on a GPU, as the README says.

Ray sets CUDA_VISIBLE_DEVICES for each worker, so paddle's first GPU is the worker's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import paddle
import paddle.inference

from spaces.errors import ConfigError
from spaces.plan import Precision

PaddleDevice = Literal["onednn", "gpu", "tensorrt"]
"""What Paddle Inference runs on: the CPU, a GPU, or TensorRT on a GPU."""
# Precisions of Paddle Inference on a GPU.
PRECISIONS: Mapping[PaddleDevice, tuple[Precision, ...]] = {
    "gpu": ("float",),
    "tensorrt": ("float", "int8"),
}

# GPU memory that an engine reserves at first, in MB; it grows on demand. A guess.
MEMORY_MB = 256
# Memory for TensorRT's kernels. A guess.
WORKSPACE_BYTES = 1 << 30
# Fewest operators of a subgraph that TensorRT runs: Paddle's default.
MIN_SUBGRAPH = 3


def has_gpu() -> bool:
    """Return whether paddle has CUDA and this process sees a GPU."""
    return bool(paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0)


def choose_device() -> str:
    """Set paddle's device to this worker's GPU, else to the CPU; return its name."""
    device = "gpu:0" if has_gpu() else "cpu"
    paddle.set_device(device)
    return device


def distributed_backend() -> str:
    """Return the backend of paddle.distributed."""
    return "nccl" if has_gpu() else "gloo"


def synchronize() -> None:
    """Wait for the GPU, since its calls return before the work is done."""
    if has_gpu():
        paddle.device.cuda.synchronize()


def configure(config: paddle.inference.Config, kind: PaddleDevice, precision: Precision) -> None:
    """Configure an engine for the GPU, or TensorRT on it. Raises ConfigError without a GPU."""
    if not has_gpu():
        raise ConfigError(
            f"engine cannot be {kind!r}: paddle sees no GPU; omit engine to use the CPU, or "
            "install paddlepaddle-gpu and set -o gpus_per_trial=1"
        )
    config.enable_use_gpu(MEMORY_MB, 0)
    if kind == "tensorrt":
        int8 = precision == "int8"
        config.enable_tensorrt_engine(
            workspace_size=WORKSPACE_BYTES,
            max_batch_size=1,
            min_subgraph_size=MIN_SUBGRAPH,
            precision_mode=paddle.inference.PrecisionType.Int8
            if int8
            else paddle.inference.PrecisionType.Float32,
            # Building an engine takes minutes.
            use_static=True,
            # The model has its scales, from calibration or training.
            use_calib_mode=False,
        )
