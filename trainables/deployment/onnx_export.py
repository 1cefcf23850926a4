"""Exported models as ONNX, checked in onnxruntime against what Paddle makes of them."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spaces.errors import ConfigError, ExportError
from spaces.plan import Precision
from trainables.deployment.engine import MODEL_FILE, WEIGHTS_FILE, Engine
from trainables.deployment.export import check_outputs

# The first with the operators that scale by channel, which INT8 weights need.
OPSET = 13
PACKAGES = ("paddle2onnx", "onnxruntime")

# In a process of its own: on an operator that it does not know the converter aborts.
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
    """Write the exported model in `folder` as an ONNX file; return how far its outputs are.

    The distance is from Paddle's own engine, on `inputs`, as a share of the outputs' spread; an
    ONNX file computes in float or INT8, whatever the processor has. Raises ConfigError if
    a package is missing, ExportError if the model cannot be converted, TrialError if the outputs
    are too far.
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
        telling = [line for line in lines if "error" in line.lower()] or lines[-1:]
        said = telling[0].strip() if telling else f"exit status {ended.returncode}"
        raise ExportError(f"model {folder}: paddle2onnx cannot convert it ({said})")
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        names = [item.name for item in session.get_inputs()]
        outputs = session.run(None, dict(zip(names, inputs, strict=True)))
    except Exception as error:  # Each of its operators fails in its own way.
        raise ExportError(f"model {folder}: its ONNX file does not run ({error})") from error
    reference = Engine(folder, None, threads).run(inputs)
    difference = check_outputs(outputs, reference, precision)
    temporary.replace(target)
    return difference
