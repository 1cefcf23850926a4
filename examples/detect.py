"""python -m examples.detect RUN CONFIG_FILE IMAGE PICTURE: the image with its boxes.

The model ends in the maps of YOLOv3's head; CONFIG_FILE, PaddleDetection's, has the anchors.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from examples.deploy import Deployed
from trainables.metrics.average_precision import Detection
from trainables.tasks.paddledetection.config import plain_settings
from trainables.tasks.paddledetection.yolo_boxes import decoder_of

LEAST_SCORE = 0.3
COLOUR = (255, 60, 0)


def main(run: str, config_file: str, image: str, picture: str) -> None:
    settings = plain_settings(Path(config_file))
    found = settings["BBoxPostProcess"]
    decoder = decoder_of(
        settings["YOLOv3Head"], found["decode"], found["nms"], settings["num_classes"]
    )
    model = Deployed(Path(run))
    pixels = model.read(image)
    (found,) = decoder.detections(model(pixels))
    draw(pixels, found, model, picture)


def draw(pixels: np.ndarray, found: Sequence[Detection], model: Deployed, picture: str) -> None:
    """Write the image with its boxes, and masks if there are any, both in pixels of the input."""
    original = Image.fromarray(np.ascontiguousarray(pixels))
    across, down, left, top = model.place(pixels)
    pen = ImageDraw.Draw(original)
    shown = [box for box in found if box.score >= LEAST_SCORE]
    for box in shown:
        if box.mask is not None:
            # Only who draws masks has to have it.
            from pycocotools.mask import decode

            box_of = (left, top, original.width * across + left, original.height * down + top)
            shade = Image.fromarray(90 * decode(box.mask)).resize(original.size, box=box_of)
            original.paste(COLOUR, mask=shade)
        xs, ys = (box.left, box.right), (box.top, box.bottom)
        (west, east), (north, south) = (
            [(x - left) / across for x in xs],
            [(y - top) / down for y in ys],
        )
        corners = (west, north, east, south)
        pen.rectangle(corners, outline=COLOUR, width=2)
        pen.text(corners[:2], f"{box.label} {box.score:.2f}", fill=(255, 255, 0))
    original.save(picture)
    print(f"{picture}: {len(shown)} boxes")


if __name__ == "__main__":
    main(*sys.argv[1:])
