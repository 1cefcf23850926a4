"""Load and run a delivered model. Needs numpy, OpenCV, Pillow and the model's engine only.

The manifest has the steps from an image file to the model's input (`input.image`;
trainables/data/image_input.py documents each), so this file works for every model.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

Placement = tuple[float, float, float, float]
"""(a, b, c, d): pixel (x, y) of an image is at (a * x + c, b * y + d) of the model's input."""
Run = Callable[[np.ndarray], list[np.ndarray]]
"""Returns a model's outputs for its input tensor."""
# For a manifest without `input.image`: the whole image, resized to the input's size.
WHOLE: dict[str, Any] = {"decoder": "pillow", "turned": True, "steps": None}


@contextmanager
def without_native_output() -> Iterator[None]:
    """Discard the thirty lines that Paddle's C++ code prints per loaded INT8 model."""
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def load_paddle(folder: Path, manifest: dict[str, Any], threads: int) -> Run:
    """Load a model in Paddle Inference."""
    import paddle.inference

    files = (str(folder / name) for name in ("inference.pdmodel", "inference.pdiparams"))
    config = paddle.inference.Config(*files)
    config.disable_glog_info()
    config.set_cpu_math_library_num_threads(threads)
    for switch, on in manifest["engine_config"].items():
        if on:
            getattr(config, switch)()
    for name in manifest.get("deleted_passes", []):
        config.delete_pass(name)
    if manifest.get("int8_operators"):
        config.enable_mkldnn_int8(set(manifest["int8_operators"]))
    with without_native_output():
        predictor = paddle.inference.create_predictor(config)
    given = predictor.get_input_handle(manifest["input"]["name"])

    def run(tensor: np.ndarray) -> list[np.ndarray]:
        given.copy_from_cpu(tensor)
        predictor.run()
        names = predictor.get_output_names()
        return [predictor.get_output_handle(name).copy_to_cpu() for name in names]

    return run


def load_openvino(folder: Path, manifest: dict[str, Any], threads: int) -> Run:
    """Load a model in OpenVINO, which reads Paddle's files."""
    import openvino

    options = {**manifest["engine_config"], "INFERENCE_NUM_THREADS": threads}
    model = openvino.compile_model(folder / manifest["engine_files"][0], "CPU", options)

    def run(tensor: np.ndarray) -> list[np.ndarray]:
        found = model(tensor)
        return [found[output].copy() for output in model.outputs]

    return run


def load_onnxruntime(folder: Path, manifest: dict[str, Any], threads: int) -> Run:
    """Load a model in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    for name, value in manifest["engine_config"].items():
        if hasattr(options, name):
            setattr(options, name, value)
        else:
            options.add_session_config_entry(name, value)
    options.intra_op_num_threads = threads
    file = str(folder / manifest["engine_files"][0])
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = manifest["input"]["name"]
    return lambda tensor: session.run(None, {name: tensor})


LOADERS = {"openvino": load_openvino, "onnxruntime": load_onnxruntime}


class Deployed:
    """The model of a finished run."""

    def __init__(self, run: Path, threads: int = 1) -> None:
        self.manifest = json.loads((run / "manifest.json").read_text())
        self.spec = self.manifest["input"]
        self.image = self.spec.get("image") or WHOLE
        timed_on = self.manifest.get("latency_ms", {}).get("engine")
        engine = self.manifest.get("evaluated_on") or timed_on
        load = LOADERS.get(engine, load_paddle)
        self._run = load(run / "model", self.manifest, threads)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the model's input, in pixels."""
        height, width = self.spec["shape"][2:]
        return height, width

    def read(self, file: str | Path) -> np.ndarray:
        """Return an image file's pixels, shape (height, width, channels), in RGB or grey."""
        grey = self.spec["shape"][1] == 1
        if self.image["decoder"] == "opencv":
            mode = cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR
            pixels = cv2.imdecode(np.frombuffer(Path(file).read_bytes(), np.uint8), mode)
            return pixels.reshape(*pixels.shape[:2], -1)[..., ::-1]
        with Image.open(file) as opened:
            upright = ImageOps.exif_transpose(opened) if self.image["turned"] else opened
            pixels = np.asarray(upright.convert("L" if grey else "RGB"))
        return pixels.reshape(*pixels.shape[:2], -1)

    def preprocess(self, pixels: np.ndarray) -> np.ndarray:
        """Return the input tensor of an image, shape (1, channels, height, width)."""
        values, _ = self._apply_steps(pixels)
        return np.ascontiguousarray(values.transpose(2, 0, 1)[None], self.spec["dtype"])

    def place(self, pixels: np.ndarray) -> Placement:
        """Return where the image is in the model's input."""
        return self._apply_steps(pixels)[1]

    def _apply_steps(self, pixels: np.ndarray) -> tuple[np.ndarray, Placement]:
        scale_x, scale_y, left, top = 1.0, 1.0, 0.0, 0.0
        values = pixels[..., ::-1] if self.spec["channel_order"] == "BGR" else pixels
        values = values.astype(np.float32) if self.image.get("floats") else values
        height, width = self.size
        exact = {"rule": "exact", "height": height, "width": width, "library": "pillow"}
        exact |= {"step": "resize", "interpolation": "bilinear", "by_factor": False}
        for step in self.image["steps"] or [exact, {"step": "normalize"}]:
            before = values.shape[:2]
            if step["step"] == "resize":
                values = resized(values, step)
                x, y = values.shape[1] / before[1], values.shape[0] / before[0]
                scale_x, scale_y, left, top = scale_x * x, scale_y * y, left * x, top * y
            elif step["step"] == "normalize":
                values = normalized(values, self.spec, step)
            else:
                values, x, y = padded(values, step) if step["step"] == "pad" else cut(values, step)
                left, top = left + x, top + y
        return values, (scale_x, scale_y, left, top)

    def __call__(self, pixels: np.ndarray) -> list[np.ndarray]:
        """Return the model's outputs for one image, given as `read` gives it."""
        return self._run(self.preprocess(pixels))


def factor(step: dict[str, Any], height: int, width: int) -> float:
    """Return the factor of both sides, before rounding."""
    shorter, longer, rule = min(height, width), max(height, width), step["rule"]
    if rule == "inside":
        return min(step["height"] / height, step["width"] / width)
    if rule == "inside_turned":
        low, high = sorted((step["height"], step["width"]))
        return min(low / shorter, high / longer)
    if rule == "height":
        return step["height"] / height
    if rule in ("shorter_side", "longer_side"):
        return step["side"] / (shorter if rule == "shorter_side" else longer)
    if rule == "at_least":
        return max(step["side"] / shorter, 1.0)
    return min(step["side"] / longer, 1.0)  # at_most


def size_of(step: dict[str, Any], height: int, width: int) -> tuple[int, int]:
    """Return the height and width of an image after a resize step."""
    if step["rule"] == "exact":
        return step["height"], step["width"]
    if step["rule"] == "line":
        return step["height"], min(math.ceil(step["height"] * (width / height)), step["width"])
    multiple = step["multiple"]
    roundings = {"nearest": round, "down": math.floor, "up": math.ceil}
    whole = roundings.get(step["rounding"], lambda parts: math.floor(parts + 0.5))
    sides = []
    for side in (height, width):
        wanted = side * factor(step, height, width)
        parts = (int(wanted) if step["whole_first"] else wanted) / multiple
        sides.append(max(whole(parts), 1) * multiple)
    most = step["most_height"] or sides[0], step["most_width"] or sides[1]
    shrink = min(most[0] / sides[0], most[1] / sides[1], 1.0)
    if shrink < 1:
        sides = [max(int(side * shrink) // multiple, 1) * multiple for side in sides]
    return sides[0], sides[1]


def resized(values: np.ndarray, step: dict[str, Any]) -> np.ndarray:
    height, width = size_of(step, *values.shape[:2])
    values = np.ascontiguousarray(values)
    if step["library"] == "pillow":
        image = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
        filter_ = Image.Resampling[step["interpolation"].upper()]
        result = np.asarray(image.resize((width, height), filter_))
    else:
        names = {"bilinear": "LINEAR", "bicubic": "CUBIC", "lanczos": "LANCZOS4"}
        name = names.get(step["interpolation"], step["interpolation"].upper())
        interpolation = getattr(cv2, f"INTER_{name}")
        if step["by_factor"]:
            x, y = width / values.shape[1], height / values.shape[0]
            if step["rule"] != "exact":
                x = y = factor(step, *values.shape[:2])
            result = cv2.resize(values, None, None, fx=x, fy=y, interpolation=interpolation)
        else:
            result = cv2.resize(values, (width, height), interpolation=interpolation)
    return result.reshape(*result.shape[:2], -1)


def cut(values: np.ndarray, step: dict[str, Any]) -> tuple[np.ndarray, float, float]:
    """Return the centre crop, and the image's shift to the right and down."""
    height, width = values.shape[:2]
    if step["step"] == "center_crop":
        high, wide = step["height"], step["width"]
    else:
        high = wide = int(step["share"] * min(height, width))
    top, left = (height - high) // 2, (width - wide) // 2
    return values[top : top + high, left : left + wide], -left, -top


def padded(values: np.ndarray, step: dict[str, Any]) -> tuple[np.ndarray, float, float]:
    """Return the padded image, and its shift to the right and down."""
    (height, width), multiple = values.shape[:2], step["multiple"]
    wanted = step["height"] or height, step["width"] or width
    high, wide = (math.ceil(side / multiple) * multiple for side in wanted)
    high, wide = max(high, height), max(wide, width)
    centred = step["at"] == "center"
    top, left = ((high - height) // 2, (wide - width) // 2) if centred else (0, 0)
    filled = np.empty((high, wide, values.shape[2]), values.dtype)
    filled[:] = np.array(step["value"])
    filled[top : top + height, left : left + width] = values
    return filled, left, top


def normalized(values: np.ndarray, spec: dict[str, Any], step: dict[str, Any]) -> np.ndarray:
    precision = np.float64 if step.get("double") else np.float32
    floats, scale = values.astype(np.float32), spec["scale"]
    floats = floats / np.float32(1 / scale) if step.get("divides") else floats * np.float32(scale)
    floats = (floats - np.array(spec["mean"], precision)).astype(np.float32)
    floats = (floats / np.array(spec["std"], precision)).astype(np.float32)
    zeros = np.zeros((*floats.shape[:2], step.get("zero_channels", 0)), np.float32)
    return np.concatenate((floats, zeros), axis=2)
