"""The only user of PaddleSlim; all workarounds for it are here.

Other modules use structured names of parameters. PaddleSlim's names ("conv2d_3.w_0") count up
through the process, so that the same model built twice has different ones.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import paddle
import paddle.base.dygraph.base

from spaces.plan import CalibrationAlgorithm
from trainables.compression.graph.modes import quietly
from trainables.deployment.export import input_spec, parameter_names
from trainables.deployment.exported import MODEL_FILE, WEIGHTS_FILE
from trainables.deployment.program import own_scope, path_prefix
from trainables.deployment.simplify import simplify
from trainables.task import ModelInput

# PaddleSlim 2.6 uses the name that this had before Paddle 3.
if not hasattr(paddle.base.dygraph.base, "_to_static_mode_guard_"):
    paddle.base.dygraph.base._to_static_mode_guard_ = paddle.base.dygraph.base.to_static_mode_guard

# Packages whose own imports are of all parts of PaddleSlim: among them matplotlib and scipy.stats,
# for more than a second in each process.
WHOLE = ("paddleslim", "paddleslim.common", "paddleslim.quant", "paddleslim.dygraph")


@contextlib.contextmanager
def _parts_alone() -> Iterator[None]:
    """Import parts of PaddleSlim without the rest of it.

    Afterwards none of it counts as imported: another `import paddleslim` gives the whole. If there
    was one before, its parts are used.
    """
    if WHOLE[0] in sys.modules:
        yield
        return
    for name in WHOLE:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        log_helper = importlib.import_module("paddleslim.common.log_helper")
        sys.modules["paddleslim.common"].get_logger = log_helper.get_logger  # type: ignore[attr-defined]
        yield
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == WHOLE[0]]:
            del sys.modules[name]


with warnings.catch_warnings(), _parts_alone():
    warnings.simplefilter("ignore")
    from paddleslim.dygraph.quant import QAT
    from paddleslim.quant.quanter import quant_post_static

# PaddleSlim's default without transposed convolutions: the engine has no INT8 kernel for them.
QUANTIZED_OPERATORS = ["conv2d", "depthwise_conv2d", "mul", "matmul", "matmul_v2"]


def quantize_post_training(
    source: Path,
    target: Path,
    feeds: Callable[[], Iterator[Mapping[str, np.ndarray]]],
    algorithm: CalibrationAlgorithm = "abs_max",
    float_weights: Collection[str] = (),
) -> None:
    """Write an INT8 model calibrated on `feeds`, each a batch by input name. Layers whose weight,
    by its name in the program, is one of `float_weights` stay in float.

    `abs_max` takes the largest value seen as the range. PaddleSlim's example averages the batches'
    largest values and loses 1.2 to 1.7 points more (LOG: post-training quantization).
    """
    batches = sum(1 for _ in feeds())
    target.mkdir(parents=True, exist_ok=True)
    # A separate scope: the global one would hold, and mix, every model's weights.
    with own_scope() as scope, paddle.static.scope_guard(scope), quietly():
        paddle.enable_static()
        quant_post_static(
            executor=paddle.static.Executor(paddle.CPUPlace()),
            model_dir=str(source),
            quantize_model_path=str(target),
            data_loader=feeds,
            model_filename=MODEL_FILE,
            params_filename=WEIGHTS_FILE,
            save_model_filename=MODEL_FILE,
            save_params_filename=WEIGHTS_FILE,
            batch_nums=batches,
            algo=algorithm,
            quantizable_op_type=QUANTIZED_OPERATORS,
            skip_tensor_list=[*float_weights] or None,
            # Without it the file is as large as in float.
            onnx_format=True,
        )


class QuantizationAware:
    """A model with fake quantization, to be trained and then exported in INT8."""

    def __init__(self, model: paddle.nn.Layer, *, pact: bool) -> None:
        self.model = model
        with quietly():
            self._qat = QAT({"activation_preprocess_type": "PACT" if pact else None})
            self._qat.quantize(model)
        self.layers = tuple(
            name
            for name, layer in model.named_sublayers()
            if type(layer).__name__.startswith("Quantized")
        )
        """Layers with fake quantization: Paddle's own Conv2D and Linear."""

    def export(self, inputs: Sequence[ModelInput], folder: Path) -> None:
        """Write the INT8 model with the scales found in training."""
        self.model.eval()
        parameters = parameter_names(self.model)
        with quietly():
            self._qat.save_quantized_model(self.model, path_prefix(folder), input_spec(inputs))
        simplify(folder, parameters)
