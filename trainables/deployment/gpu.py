"""All that is particular to GPUs. None of it has been run on one: the README says so.

Which GPU a worker has is Ray's choice: it sets CUDA_VISIBLE_DEVICES, so paddle's first one is it.
"""

from __future__ import annotations

import paddle
import paddle.inference

from spaces.errors import ConfigError
from spaces.plan import EngineKind, Precision, QuantizationChoice

# Of a GPU's memory, taken before the engine's first run; it grows when that is not enough.
MEMORY_MB = 256
WORKSPACE_BYTES = 1 << 30
# Operators that TensorRT is not handed in smaller pieces than this.
LEAST_SUBGRAPH = 3


def has_gpu() -> bool:
    """Return whether this paddle can compute on a GPU that this process sees."""
    return bool(paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0)


def choose_device() -> str:
    """Have paddle train on this worker's GPU, if it has one; return the device's name."""
    device = "gpu:0" if has_gpu() else "cpu"
    paddle.set_device(device)
    return device


def distributed_backend() -> str:
    """Return what paddle.distributed is to talk by."""
    return "nccl" if has_gpu() else "gloo"


def synchronize() -> None:
    """Wait for the GPU: a clock read before that has seen the calls, not the work."""
    if has_gpu():
        paddle.device.cuda.synchronize()


def offered_choices(kind: EngineKind) -> tuple[QuantizationChoice, ...]:
    """Return the quantization choices that Paddle Inference computes with on a GPU."""
    if kind == "gpu":
        return (QuantizationChoice.FLOAT,)
    return tuple(c for c in QuantizationChoice if c is not QuantizationChoice.BFLOAT16)


def configure(config: paddle.inference.Config, kind: EngineKind, precision: Precision) -> None:
    """Have an engine run on the GPU, by TensorRT if asked for.

    Raises ConfigError if there is none.
    """
    if not has_gpu():
        raise ConfigError(
            f"engine cannot be {kind!r}: no GPU that paddle sees; leave it out for the CPU, or "
            "install paddlepaddle-gpu and give trials one with -o gpus_per_trial=1"
        )
    config.enable_use_gpu(MEMORY_MB, 0)
    if kind == "tensorrt":
        int8 = precision == "int8"
        config.enable_tensorrt_engine(
            workspace_size=WORKSPACE_BYTES,
            max_batch_size=1,
            min_subgraph_size=LEAST_SUBGRAPH,
            precision_mode=paddle.inference.PrecisionType.Int8
            if int8
            else paddle.inference.PrecisionType.Float32,
            # Building an engine takes minutes.
            use_static=True,
            # Scales come with the model, from calibration or training.
            use_calib_mode=False,
        )
