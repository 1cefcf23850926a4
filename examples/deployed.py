"""The model of a finished run, loaded and run by its own deploy.py."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np

from search.records.manifest import InputFigures
from trainables.data.preparing import Placement, placement
from trainables.deployment.deploy_file import DEPLOY_FILE, preparation
from trainables.task import ModelInput


class Deployed:
    """A delivered model whose input is an image."""

    def __init__(self, run: Path) -> None:
        self._code = runpy.run_path(str(run / "model" / DEPLOY_FILE))
        given = InputFigures.model_validate(self._code["INPUT"])
        # Images are prepared for the first shape only.
        here = {"shape": given.shape[1:], "more_shapes": ()}
        self._image = preparation(ModelInput(**{**vars(given), **here}))
        self._run = self._code["load"](self._code["FOLDER"], self._code["MANIFEST"])

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the model's input, in pixels."""
        height, width = self._code["INPUT"]["shape"][2:]
        return height, width

    def read(self, file: str | Path) -> np.ndarray:
        """Return an image file's pixels, shape (height, width, channels), in RGB or grey."""
        return self._code["decoded"](Path(file))

    def preprocess(self, pixels: np.ndarray) -> np.ndarray:
        """Return the input tensor of an image, shape (1, channels, height, width)."""
        return self._code["prepare"](pixels)[None]

    def place(self, pixels: np.ndarray) -> Placement:
        """Return where the image is in the model's input."""
        return placement(self._image.steps, *pixels.shape[:2])

    def __call__(self, pixels: np.ndarray) -> list[np.ndarray]:
        """Return the model's outputs for one image, given as `read` gives it."""
        return self._run([self.preprocess(pixels)])
