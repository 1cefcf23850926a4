"""Text detection (DB) and recognition (CRNN) on MobileNetV3, from PaddleOCR's configuration file.

    --task paddleocr --config-file det_mv3_db.yml --weights best.pdparams

PaddleOCR's wheel lacks its networks and losses. They are implemented in this folder, so the wheel
is not needed. Of a distillation configuration, the student is searched.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trainables.tasks.config_file import read_config
from trainables.tasks.paddleocr.architecture import kind_of
from trainables.tasks.paddleocr.detection import DetectionTask
from trainables.tasks.paddleocr.recognition import RecognitionTask


def make_task(
    config_file: str, weights: str, image_size: Sequence[int] | None = None
) -> DetectionTask | RecognitionTask:
    """Return the task; `config_file` is the toolkit's, `weights` the trained model's,
    `image_size` height and width of the network's input, a detector's multiples of 32."""
    config = read_config(Path(config_file), "PaddleOCR", "Architecture")
    if kind_of(config, config_file) == "det":
        return DetectionTask(config, config_file, weights, image_size)
    return RecognitionTask(config, config_file, weights, image_size)
