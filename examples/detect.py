"""python -m examples.detect RUN CONFIG_FILE IMAGE PICTURE: write the image with its boxes.

The model's outputs are the maps of YOLOv3's head; PaddleDetection's CONFIG_FILE has the anchors.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from examples.deployed import Deployed
from trainables.metrics.average_precision import Detection
from trainables.tasks.paddledetection.config import plain_settings
from trainables.tasks.paddledetection.yolo_boxes import decoder_of

# Lowest score of a box that is drawn. A guess.
LEAST_SCORE = 0.3
# Of boxes and masks: orange.
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
    """Write the image with its boxes and masks; `found` is in pixels of the model's input."""
    original = Image.fromarray(np.ascontiguousarray(pixels))
    scale_x, scale_y, left, top = model.place(pixels)
    pen = ImageDraw.Draw(original)
    shown = [box for box in found if box.score >= LEAST_SCORE]
    for box in shown:
        if box.mask is not None:
            # Needed for masks only.
            from pycocotools.mask import decode

            box_of = (left, top, original.width * scale_x + left, original.height * scale_y + top)
            shade = Image.fromarray(90 * decode(box.mask)).resize(original.size, box=box_of)
            original.paste(COLOUR, mask=shade)
        xs, ys = (box.left, box.right), (box.top, box.bottom)
        (west, east), (north, south) = (
            [(x - left) / scale_x for x in xs],
            [(y - top) / scale_y for y in ys],
        )
        corners = (west, north, east, south)
        pen.rectangle(corners, outline=COLOUR, width=2)
        pen.text(corners[:2], f"{box.label} {box.score:.2f}", fill=(255, 255, 0))
    original.save(picture)
    print(f"{picture}: {len(shown)} boxes")


if __name__ == "__main__":
    main(*sys.argv[1:])
