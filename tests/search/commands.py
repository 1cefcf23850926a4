"""Every command, for calls in this process that stop where Ray would start."""

from search import apply, reexport, report, run, select, timing, to_onnx

COMMANDS = {
    "run": run,
    "apply": apply,
    "select": select,
    "report": report,
    "timing": timing,
    "to_onnx": to_onnx,
    "reexport": reexport,
}


class RayStartsError(Exception):
    """Raised in place of Ray's start."""


def ray_starts(*given, **more):
    """Stands for `ray.init`."""
    raise RayStartsError
