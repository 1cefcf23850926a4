"""python -m examples.detect_two_stage RUN CONFIG_FILE WEIGHTS IMAGE PICTURE: write it with boxes.

The model is the trunk of a Faster or Mask R-CNN; the search's CONFIG_FILE and WEIGHTS have the
heads. Needs PaddleDetection.
"""

import sys
from pathlib import Path

from examples.deployed import Deployed
from examples.detect import draw
from trainables.tasks.paddledetection.config import read_detection_config
from trainables.tasks.paddledetection.rcnn import Heads
from trainables.weights import load_weights


def main(run: str, config_file: str, weights: str, image: str, picture: str) -> None:
    config = read_detection_config(Path(config_file))
    from ppdet.core.workspace import create

    detector = create(config["architecture"])
    load_weights(detector, Path(weights))
    model = Deployed(Path(run))
    pixels = model.read(image)
    scale_x, scale_y, *_ = model.place(pixels)
    size = pixels.shape[0] * scale_y, pixels.shape[1] * scale_x
    (found,) = Heads(detector, model.size).detections(model(pixels), [size])
    draw(pixels, found, model, picture)


if __name__ == "__main__":
    main(*sys.argv[1:])
