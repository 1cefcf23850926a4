"""python -m examples.detect RUN CONFIG_FILE IMAGE PICTURE: the image with its boxes.

The model ends in the maps of YOLOv3's head; CONFIG_FILE, PaddleDetection's, has the anchors.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import yaml
from PIL import Image, ImageDraw

from examples.deploy import Deployed
from trainables.average_precision import Detection
from trainables.yolo_boxes import YoloDecoder

LEAST_SCORE = 0.3
COLOUR = (255, 60, 0)


class Settings(yaml.SafeLoader):
    """A loader that passes over PaddleDetection's own tags."""


Settings.add_multi_constructor("!", lambda loader, tag, node: None)


def main(run: str, config_file: str, image: str, picture: str) -> None:
    settings = yaml.load(Path(config_file).read_text(), Settings)
    head = settings["YOLOv3Head"]
    anchors = [[tuple(head["anchors"][i]) for i in mask] for mask in head["anchor_masks"]]
    decoder = YoloDecoder(anchors, [32, 16, 8][: len(anchors)], settings["num_classes"])
    with Image.open(image) as opened:
        original = opened.convert("RGB")
    model = Deployed(Path(run))
    (found,) = decoder.detections(model(original))
    draw(original, found, model.size, picture)


def draw(
    original: Image.Image, found: Sequence[Detection], size: tuple[int, int], picture: str
) -> None:
    """Write the image with its boxes, and masks if there are any; `size` is the height and width
    that they are in pixels of."""
    height, width = size
    across, down = original.width / width, original.height / height
    pen = ImageDraw.Draw(original)
    shown = [box for box in found if box.score >= LEAST_SCORE]
    for box in shown:
        if box.mask is not None:
            # Only who draws masks has to have it.
            from pycocotools.mask import decode

            shade = Image.fromarray(90 * decode(box.mask)).resize(original.size)
            original.paste(COLOUR, mask=shade)
        corners = (box.left * across, box.top * down, box.right * across, box.bottom * down)
        pen.rectangle(corners, outline=COLOUR, width=2)
        pen.text(corners[:2], f"{box.label} {box.score:.2f}", fill=(255, 255, 0))
    original.save(picture)
    print(f"{picture}: {len(shown)} boxes")


if __name__ == "__main__":
    main(*sys.argv[1:])
