"""Exported models converted to ONNX, and compared in onnxruntime with Paddle."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spaces.errors import ConfigError, ExportError
from spaces.plan import Precision
from trainables.deployment.engines.paddle_inference import PaddleEngine
from trainables.deployment.export import check_outputs
from trainables.deployment.exported import MODEL_FILE, WEIGHTS_FILE
from trainables.deployment.layers import exported_layers
from trainables.deployment.onnx_pooling import rewrite_pools, uneven_pools
from trainables.deployment.program import integer_products

# The first with quantization by channel, which INT8 weights need.
OPSET = 13
PACKAGES = ("paddle2onnx", "onnx", "onnxruntime")

# Run in its own process, since the converter aborts on an unknown operator. Its extension is loaded
# alone: the package imports paddle, for two seconds, and needs nothing of it.
CONVERT = """
import glob, importlib.util, os, sys
from pathlib import Path
folder = os.path.dirname(importlib.util.find_spec("paddle2onnx").origin)
(file,) = glob.glob(os.path.join(folder, "paddle2onnx_cpp2py_export*"))
spec = importlib.util.spec_from_file_location("paddle2onnx_cpp2py_export", file)
converter = importlib.util.module_from_spec(spec)
spec.loader.exec_module(converter)
model, weights, target, opset = sys.argv[1:]
upgrade, verbose, check, experimental, optimize, halve = True, False, True, True, True, False
written = converter.export(model, weights, int(opset), upgrade, verbose, check, experimental,
                           optimize, {}, "onnxruntime", "", "", halve)
Path(target).write_bytes(written)
"""


def check_packages() -> None:
    """Raise ConfigError if a package is missing."""
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise ConfigError(
                f'ONNX needs {package}, which is not installed; pip install "slimsearch[onnx]"'
            )


def convert(folder: Path, target: Path, precision: Precision) -> None:
    """Write the exported model in `folder` as an ONNX file, with the types that ONNX Runtime has
    kernels for. Raises ExportError if it cannot be converted."""
    arguments = (folder / MODEL_FILE, folder / WEIGHTS_FILE, target, OPSET)
    ended = subprocess.run(
        [sys.executable, "-c", CONVERT, *(str(argument) for argument in arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0 or not target.is_file() or not target.stat().st_size:
        lines = (ended.stdout + ended.stderr).strip().splitlines()
        errors = [line for line in lines if "error" in line.lower()] or lines[-1:]
        said = errors[0].strip() if errors else f"exit status {ended.returncode}"
        raise ExportError(f"model {folder}: paddle2onnx cannot convert it ({said})")
    if pools := uneven_pools(folder):
        rewrite_pools(target, pools)
    if precision == "int8":
        # Imported here: a second, for INT8 alone.
        from trainables.deployment.onnx_types import rewrite_types

        layers = exported_layers(folder)
        floats = {layer.weight for layer in layers if not layer.is_quantized}
        rewrite_types(target, integer_products(folder), floats)


def export_onnx(
    folder: Path, target: Path, inputs: Sequence[np.ndarray], precision: Precision, threads: int
) -> float:
    """Convert the exported model in `folder` to an ONNX file; return its output difference.

    That is the RMS difference from Paddle's unoptimized run on `inputs`, relative to the outputs'
    spread. An ONNX file computes in float or INT8, never in bfloat16. Raises ConfigError if a
    package is missing, ExportError if the model cannot be converted, TrialError if the outputs
    differ too much.
    """
    check_packages()
    temporary = target.with_name(f".{target.name}.tmp")
    convert(folder, temporary, precision)
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        names = [item.name for item in session.get_inputs()]
        outputs = session.run(None, dict(zip(names, inputs, strict=True)))
    except Exception as error:  # Each of its operators raises its own type.
        raise ExportError(f"model {folder}: its ONNX file does not run ({error})") from error
    reference = PaddleEngine(folder, None, threads).run(inputs)
    difference = check_outputs(outputs, reference, precision)
    temporary.replace(target)
    return difference
