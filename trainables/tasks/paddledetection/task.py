"""PaddleDetection's detectors, from its configuration file: chooses the architecture's task.

    --task paddledetection --config-file yolov3.yml --weights model.pdparams

Needs the toolkit's wheel.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spaces.errors import TaskError
from trainables.tasks.paddledetection.base import DetectionTask
from trainables.tasks.paddledetection.config import read_detection_config


def make_task(
    config_file: str, weights: str, image_size: int | Sequence[int] | None = None
) -> DetectionTask:
    """Return the task; `config_file` is the toolkit's, `weights` the trained model's,
    `image_size` the side of the network's input or [height, width], by default the size to which
    the configuration's EvalReader resizes."""
    config = read_detection_config(Path(config_file))
    from trainables.tasks.paddledetection.rcnn import MaskTrunkTask, TrunkTask
    from trainables.tasks.paddledetection.yolo import YoloTask

    tasks: dict[str, type[DetectionTask]] = {
        "YOLOv3": YoloTask,
        "FasterRCNN": TrunkTask,
        "MaskRCNN": MaskTrunkTask,
    }
    for key in ("architecture", "num_classes"):
        if config.get(key) is None:
            raise TaskError(
                f"config_file {config_file} has no {key}; name a whole configuration, not one that "
                "others include"
            )
    architecture = str(config["architecture"])
    if architecture not in tasks:
        raise TaskError(
            f"config_file {config_file}: architecture {architecture!r} cannot be searched "
            f"(its outputs are not supported); {', '.join(tasks)} can"
        )
    try:
        return tasks[architecture](config, Path(weights), image_size)
    except TaskError as error:
        raise TaskError(f"config_file {config_file}: {error}") from error
