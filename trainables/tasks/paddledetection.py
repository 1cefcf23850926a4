"""PaddleDetection's models, with their losses and data, from its own configuration file.

    --task paddledetection --config-file yolov3.yml --weights model.pdparams

Needs the toolkit's wheel.
"""

from __future__ import annotations

from pathlib import Path

from spaces.errors import TaskError, one_line
from trainables.tasks.detection import DetectionTask


def make_task(config_file: str, weights: str, image_size: int = 320) -> DetectionTask:
    """Return the task; `config_file` is the toolkit's, `weights` the trained model's,
    `image_size` the side of the network's input, a multiple of 32."""
    if not Path(config_file).is_file():
        raise TaskError(f"config_file {config_file} is missing; name a PaddleDetection YAML file")
    try:
        import ppdet.data
        import ppdet.modeling  # noqa: F401  enters what configurations name
        from ppdet.core.workspace import load_config
    except ImportError as error:
        raise TaskError(
            f"task 'paddledetection' needs PaddleDetection ({one_line(error)}); install it "
            "with pip install --no-deps -r toolkits.txt"
        ) from error
    try:
        config = dict(load_config(config_file))
    except Exception as error:  # The toolkit raises and asserts whatever comes.
        raise TaskError(f"config_file {config_file}: {one_line(error)}; mend it") from error
    from trainables.tasks.paddledetection_rcnn import MaskTrunkTask, TrunkTask
    from trainables.tasks.paddledetection_yolo import YoloTask

    tasks: dict[str, type[DetectionTask]] = {
        "YOLOv3": YoloTask,
        "FasterRCNN": TrunkTask,
        "MaskRCNN": MaskTrunkTask,
    }
    architecture = str(config.get("architecture"))
    if architecture not in tasks:
        raise TaskError(
            f"config_file {config_file}: architecture {architecture!r} cannot be searched "
            f"(its outputs are not known here); {', '.join(tasks)} can"
        )
    return tasks[architecture](config, Path(weights), image_size)
