"""A delivered model, loaded from its folder and manifest: numpy, Pillow and paddle.inference."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import paddle.inference
from PIL import Image


class Deployed:
    """The model of a finished run."""

    def __init__(self, run: Path, threads: int = 1) -> None:
        self.manifest = json.loads((run / "manifest.json").read_text())
        config = paddle.inference.Config(
            str(run / "model" / "inference.pdmodel"), str(run / "model" / "inference.pdiparams")
        )
        config.disable_glog_info()
        config.set_cpu_math_library_num_threads(threads)
        for switch, on in self.manifest["engine_config"].items():
            if on:
                getattr(config, switch)()
        if self.manifest.get("int8_operators"):
            config.enable_mkldnn_int8(set(self.manifest["int8_operators"]))
        self._predictor = paddle.inference.create_predictor(config)
        self._input = self._predictor.get_input_handle(self.manifest["input"]["name"])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the model's input, in pixels."""
        height, width = self.manifest["input"]["shape"][2:]
        return height, width

    def preprocess(self, image: Image.Image) -> np.ndarray:
        """Return the tensor of one image, shape (1, channels, height, width)."""
        spec = self.manifest["input"]
        height, width = self.size
        mode = "L" if spec["shape"][1] == 1 else "RGB"
        pixels = np.asarray(image.convert(mode).resize((width, height), Image.Resampling.BILINEAR))
        pixels = pixels.reshape(height, width, -1)
        if spec["channel_order"] == "BGR":
            pixels = pixels[..., ::-1]
        tensor = (pixels * np.float32(spec["scale"]) - spec["mean"]) / spec["std"]
        return np.ascontiguousarray(tensor.transpose(2, 0, 1)[None], dtype="float32")

    def __call__(self, image: Image.Image) -> list[np.ndarray]:
        """Return the model's outputs for one image."""
        self._input.copy_from_cpu(self.preprocess(image))
        self._predictor.run()
        names = self._predictor.get_output_names()
        return [self._predictor.get_output_handle(name).copy_to_cpu() for name in names]
