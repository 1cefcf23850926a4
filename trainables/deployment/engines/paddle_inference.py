"""Paddle Inference: on the CPU with oneDNN; what is of GPUs is in gpu.py."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import paddle
import paddle.inference
from paddle.base.proto import framework_pb2

from spaces.plan import Precision
from trainables.deployment import gpu, tensorrt
from trainables.deployment.engines.protocol import Configuration, Option
from trainables.deployment.exported import MODEL_FILE, PADDLE_FILES, WEIGHTS_FILE
from trainables.deployment.gpu import PaddleDevice
from trainables.deployment.layers import PRODUCTS, exported_layers
from trainables.deployment.program import pools_unscaled_maps

# Paddle Inference's name for the program that it runs, when asked to save it.
OPTIMIZED_FILE = "_optimized.pdmodel"
# All operators that oneDNN quantizes, except pooling. It has no INT8 kernel for pooling into bins
# that do not divide the map, as in pyramid pooling, nor behind some sums of convolutions; the first
# run then fails.
WITHOUT_POOLING = (
    *("concat", "conv2d", "depthwise_conv2d", "elementwise_add", "elementwise_mul"),
    *("elementwise_sub", "fc", "fused_conv2d", "fused_elementwise_add", "fused_elementwise_mul"),
    *("fused_elementwise_sub", "fused_matmul", "fused_transpose", "matmul", "nearest_interp"),
    *("nearest_interp_v2", "prior_box", "reshape2", "slice", "split", "transpose2"),
)
# Nor can it concatenate an INT8 map and a float map, as the passes produce from UNet.
WITHOUT_CONCATENATION = tuple(name for name in WITHOUT_POOLING if name != "concat")
# Nor can it multiply two INT8 matrices if only one of them has a sign, as after a softmax.
MATRIX_PRODUCTS = ("matmul", "fused_matmul")
WITHOUT_MATRIX_PRODUCTS = tuple(n for n in WITHOUT_CONCATENATION if n not in MATRIX_PRODUCTS)
# Tried in this order until the model can be loaded and its first run succeeds; None is all.
INT8_OPERATORS = (None, WITHOUT_POOLING, WITHOUT_CONCATENATION, WITHOUT_MATRIX_PRODUCTS)
# A linear layer, which it quantizes though the exported weight is in float.
LINEAR = "fc"
# Its attribute for what an operator computes in, and the names there; others are float.
DATA_TYPE = "mkldnn_data_type"
PRECISIONS: Mapping[str, Precision] = {"int8": "int8", "bfloat16": "bfloat16"}


# Passes of Paddle 3.1.1 that compute wrongly. This one fuses a reshape, a transposition and a
# matrix product, and reads a 0 or a -1 in the reshape's shape as a size (PaddlePaddle/Paddle pull
# 40025; LOG: self-attention that the engine computes wrongly).
DELETED_PASSES: Mapping[PaddleDevice, tuple[str, ...]] = {
    "onednn": ("reshape_transpose_matmul_onednn_fuse_pass",)
}


def deleted_passes(kind: PaddleDevice = "onednn") -> tuple[str, ...]:
    """Return the passes to delete from `paddle.inference.Config`, with `delete_pass`."""
    return DELETED_PASSES.get(kind, ())


def int8_operators(folder: Path) -> list[tuple[str, ...] | None]:
    """Return INT8_OPERATORS; without linear layers if the model in a folder has them all in float
    (LOG: what each engine mixes)."""
    products = [layer for layer in exported_layers(folder) if layer.kind in PRODUCTS]
    if not products or any(layer.is_quantized for layer in products):
        return [*INT8_OPERATORS]
    every = (*WITHOUT_POOLING, "pool2d")
    return [tuple(n for n in names or every if n != LINEAR) for names in INT8_OPERATORS]


def engine_name(kind: PaddleDevice) -> str:
    """Return an engine's name in a manifest."""
    return f"paddle_inference_{kind}"


def switches(precision: Precision, kind: PaddleDevice = "onednn") -> dict[str, Option]:
    """Return methods of `paddle.inference.Config`, and whether to call each for a precision.

    On GPUs they take arguments (trainables/deployment/gpu.py); `precision_mode` is one of them, a
    name in `paddle.inference.PrecisionType`.
    """
    if kind != "onednn":
        called = {"enable_use_gpu": True, "enable_tensorrt_engine": kind == "tensorrt"}
        return {**called, "precision_mode": gpu.MODES[precision]}
    return {
        "enable_mkldnn": True,
        "enable_mkldnn_bfloat16": precision == "bfloat16",
        "enable_mkldnn_int8": precision == "int8",
    }


def supports_bfloat16() -> bool:
    """Return whether oneDNN can use bfloat16 arithmetic of this processor."""
    return bool(paddle.base.core.supports_bfloat16())


@contextmanager
def without_native_output() -> Iterator[None]:
    """Discard output to file descriptor 2.

    Paddle's INT8 passes print thirty lines per loaded model, at every log level. Errors are raised.
    """
    sys.stderr.flush()
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


class PaddleEngine:
    """A loaded exported model. With `precision` None it runs on the CPU without optimization.

    A quantized model then computes the same values on fake-quantized floats, many times slower:
    that is the reference for the INT8 engine.
    """

    def __init__(
        self,
        folder: Path,
        precision: Precision | None,
        threads: int,
        kind: PaddleDevice = "onednn",
        builds: tensorrt.Builds | None = None,
    ) -> None:
        """`builds` is for TensorRT; None: for single samples."""
        self._folder = folder
        self._kind: PaddleDevice = kind if precision is not None else "onednn"
        self._precision = precision
        self._threads = threads
        self._has_run = False
        self._workshop: tensorrt.Workshop | None = None
        if precision is not None and kind != "onednn":
            gpu.check_usable(kind)
            if kind == "tensorrt":
                self._workshop = tensorrt.Workshop(folder, precision, builds or tensorrt.Builds())
        self._optimized: framework_pb2.ProgramDesc | None = None
        self.int8_operators: tuple[str, ...] | None = None
        """The operators to quantize; None: all."""
        quantized = precision == "int8" and kind == "onednn"
        self._untried: list[tuple[str, ...] | None] = [None]
        if quantized:
            self._untried = int8_operators(folder)
        if quantized and pools_unscaled_maps(folder):
            # oneDNN passes a mean's scale through the pooling to its map, whose values are larger
            # and then saturate (LOG: a recogniser in INT8).
            self._untried = [names for names in self._untried if names and "pool2d" not in names]
        self._create_next()

    @property
    def configuration(self) -> Configuration:
        """What the manifest says; final only after the first run, which may need fewer INT8
        operators."""
        return Configuration(
            engine_name(self._kind),
            switches(self._precision, self._kind) if self._precision is not None else {},
            PADDLE_FILES,
            int8_operators=self.int8_operators,
            deleted_passes=deleted_passes(self._kind),
        )

    def _config(self) -> paddle.inference.Config:
        files = (str(self._folder / MODEL_FILE), str(self._folder / WEIGHTS_FILE))
        config = paddle.inference.Config(*files)
        config.disable_glog_info()
        config.set_cpu_math_library_num_threads(self._threads)
        config.enable_memory_optim()
        config.switch_ir_optim(self._precision is not None)
        if self._workshop is not None:
            self._workshop.configure(config)
        elif self._kind != "onednn":
            assert self._precision is not None
            gpu.configure_gpu(config, self._precision)
        else:
            config.disable_gpu()
            if self._precision is not None:
                for name, on in switches(self._precision).items():
                    if on:
                        getattr(config, name)()
                for name in deleted_passes(self._kind):
                    config.delete_pass(name)
        if self.int8_operators is not None:
            config.enable_mkldnn_int8(set(self.int8_operators))
        return config

    def _create_next(self) -> None:
        """Load the model with the next of INT8_OPERATORS that the engine can quantize."""
        while True:
            self.int8_operators = self._untried.pop(0)
            try:
                self._create()
                return
            except Exception:  # Each pass of the engine raises its own type.
                if not self._untried:
                    raise

    def _create(self) -> None:
        config = self._config()
        self._optimized = None
        with without_native_output():
            self._predictor = paddle.inference.create_predictor(config)
        if self._workshop is not None:
            self._workshop.keep()
        self._inputs = [
            self._predictor.get_input_handle(name) for name in self._predictor.get_input_names()
        ]

    def _executed(self) -> framework_pb2.ProgramDesc:
        """Return the program that the engine runs; its passes take seconds, so it is kept."""
        if self._optimized is None:
            config = self._config()
            with tempfile.TemporaryDirectory() as folder:
                config.enable_save_optim_model(True)
                config.set_optim_cache_dir(folder)
                with without_native_output():
                    paddle.inference.create_predictor(config)
                written = (Path(folder) / OPTIMIZED_FILE).read_bytes()
            self._optimized = framework_pb2.ProgramDesc.FromString(written)
        return self._optimized

    def operators(self) -> list[str]:
        """Return the types of the operators that the engine runs, fused and with its own."""
        return [op.type for op in self._executed().blocks[0].ops]

    def layers(self) -> dict[str, Precision]:
        """Return the precision of each layer; none on a GPU."""
        if self._kind != "onednn":
            return {}
        weights = {layer.weight for layer in exported_layers(self._folder)}
        return {
            name: PRECISIONS.get(next((a.s for a in op.attrs if a.name == DATA_TYPE), ""), "float")
            for op in self._executed().blocks[0].ops
            for slot in op.inputs
            for name in slot.arguments
            if name in weights
        }

    def quantizations(self) -> int | None:
        """Return the number of quantize operators that the engine runs; None on a GPU.

        0 means that the engine computes in floats only, despite its switches: the inputs of INT8
        operators must be quantized first.
        """
        return self.operators().count("quantize") if self._kind == "onednn" else None

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the outputs for one batch; `inputs` in the order of the task's inputs.

        If the first run of a quantized model fails, the model is loaded again with the next of
        INT8_OPERATORS.
        """
        while not self._has_run:
            try:
                outputs = self._run(inputs)
            except Exception:  # Each operator of the engine raises its own type.
                if not self._untried:
                    raise
                self._create_next()
            else:
                self._has_run = True
                return outputs
        return self._run(inputs)

    @property
    def warmup_s(self) -> float:
        """Least seconds of runs before it is timed, of all engines that are timed in turn."""
        return gpu.WARMUP_S if self._kind != "onednn" else 0.0

    def _run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        if self._kind != "onednn":
            # What the process has left to do, of training for example, is not the engine's.
            gpu.synchronize()
        for handle, array in zip(self._inputs, inputs, strict=True):
            handle.copy_from_cpu(np.ascontiguousarray(array))
        self._predictor.run()
        if self._kind != "onednn":
            gpu.synchronize()
        names = self._predictor.get_output_names()
        return [self._predictor.get_output_handle(name).copy_to_cpu() for name in names]


class PaddleInference:
    """The runtime of one device of Paddle Inference."""

    def __init__(self, kind: PaddleDevice, builds: tensorrt.Builds | None = None) -> None:
        self._kind: PaddleDevice = kind
        self._builds = builds

    def precisions(self) -> tuple[Precision, ...]:
        if self._kind != "onednn":
            return gpu.precisions(self._kind)
        return ("float", "bfloat16", "int8") if supports_bfloat16() else ("float", "int8")

    def describe(self, precision: Precision) -> str:
        named = {
            "engine": engine_name(self._kind),
            "paddle": paddle.__version__,
            "deleted_passes": deleted_passes(self._kind),
        }
        if self._kind != "onednn":
            named |= gpu.versions(self._kind)
        if self._builds is not None:
            named["batches"] = self._builds.batches
        return json.dumps({**named, **switches(precision, self._kind)})

    def prepare(self, folder: Path, precision: Precision) -> None:
        """Change nothing: the export is made for Paddle Inference."""

    def files(self, precision: Precision) -> tuple[str, ...]:
        return PADDLE_FILES

    def load(self, folder: Path, precision: Precision, threads: int) -> PaddleEngine:
        return PaddleEngine(folder, precision, threads, self._kind, self._builds)


def tensorrt_in(cache: Path, timed: int, largest: int) -> PaddleInference:
    """Return TensorRT's runtime for batches of up to `largest`, best at `timed` samples; the
    engines that it builds are kept in a cache folder."""
    return PaddleInference("tensorrt", tensorrt.Builds(cache / "tensorrt", timed, largest))


ONEDNN, GPU, TENSORRT = (PaddleInference(kind) for kind in ("onednn", "gpu", "tensorrt"))
