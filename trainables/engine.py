"""The engine a model is deployed on: Paddle Inference with oneDNN, configured in one place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import paddle
import paddle.inference

from spaces.plan import Precision

MODEL_FILE = "inference.pdmodel"
WEIGHTS_FILE = "inference.pdiparams"
ENGINE = "paddle_inference_onednn"


def switches(precision: Precision) -> dict[str, bool]:
    """Return what has to be switched on in `paddle.inference.Config` for a precision."""
    return {
        "enable_mkldnn": True,
        "enable_mkldnn_bfloat16": precision == "bfloat16",
        "enable_mkldnn_int8": precision == "int8",
    }


def supports_bfloat16() -> bool:
    """Return whether this processor has bfloat16 arithmetic that oneDNN uses."""
    return bool(paddle.base.core.supports_bfloat16())


class Engine:
    """An exported model, loaded and ready. `precision` None runs it plainly, without oneDNN.

    A quantized model run without its INT8 switch computes the same on fake-quantized
    floats, many times slower; the plain run is that reference.
    """

    def __init__(self, folder: Path, precision: Precision | None, threads: int) -> None:
        config = paddle.inference.Config(str(folder / MODEL_FILE), str(folder / WEIGHTS_FILE))
        config.disable_gpu()
        config.disable_glog_info()
        config.set_cpu_math_library_num_threads(threads)
        config.enable_memory_optim()
        if precision is None:
            config.switch_ir_optim(False)
        else:
            config.switch_ir_optim(True)
            for name, on in switches(precision).items():
                if on:
                    getattr(config, name)()
        self._predictor = paddle.inference.create_predictor(config)
        self._inputs = [
            self._predictor.get_input_handle(name) for name in self._predictor.get_input_names()
        ]

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the outputs for one batch; `inputs` in the order of the task's inputs."""
        for handle, array in zip(self._inputs, inputs, strict=True):
            handle.copy_from_cpu(np.ascontiguousarray(array))
        self._predictor.run()
        names = self._predictor.get_output_names()
        return [self._predictor.get_output_handle(name).copy_to_cpu() for name in names]


def size_bytes(folder: Path) -> int:
    """Return the bytes on disk of an exported model, graph and weights."""
    return sum((folder / name).stat().st_size for name in (MODEL_FILE, WEIGHTS_FILE))


def describe(precision: Precision) -> str:
    """Return the engine's settings as one line of JSON, for fingerprints."""
    return json.dumps({"engine": ENGINE, "paddle": paddle.__version__, **switches(precision)})
