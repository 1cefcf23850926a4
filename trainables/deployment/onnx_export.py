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

# The first with quantization by channel, which INT8 weights need.
OPSET = 13
PACKAGES = ("paddle2onnx", "onnxruntime")

# Run in its own process, since the converter aborts on an unknown operator.
CONVERT = """
import sys
import trainables
import paddle2onnx
paddle2onnx.export(sys.argv[1], sys.argv[2], save_file=sys.argv[3], opset_version=int(sys.argv[4]),
                   deploy_backend="onnxruntime")
"""


def export_onnx(
    folder: Path, target: Path, inputs: Sequence[np.ndarray], precision: Precision, threads: int
) -> float:
    """Convert the exported model in `folder` to an ONNX file; return its output difference.

    That is the RMS difference from Paddle's unoptimized run on `inputs`, relative to the outputs'
    spread. An ONNX file computes in float or INT8, never in bfloat16. Raises ConfigError if a
    package is missing, ExportError if the model cannot be converted, TrialError if the outputs
    differ too much.
    """
    for package in PACKAGES:
        if importlib.util.find_spec(package) is None:
            raise ConfigError(
                f'ONNX needs {package}, which is not installed; pip install "slimsearch[onnx]"'
            )
    temporary = target.with_name(f".{target.name}.tmp")
    arguments = (folder / MODEL_FILE, folder / WEIGHTS_FILE, temporary, OPSET)
    ended = subprocess.run(
        [sys.executable, "-c", CONVERT, *(str(argument) for argument in arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0 or not temporary.is_file():
        lines = (ended.stdout + ended.stderr).strip().splitlines()
        errors = [line for line in lines if "error" in line.lower()] or lines[-1:]
        said = errors[0].strip() if errors else f"exit status {ended.returncode}"
        raise ExportError(f"model {folder}: paddle2onnx cannot convert it ({said})")
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
