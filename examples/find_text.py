"""python -m examples.find_text RUN IMAGE PICTURE: write the image, each line of text framed."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from examples.deployed import Deployed
from trainables.metrics.text_regions import RegionFinder


def main(run: str, image: str, picture: str) -> None:
    model = Deployed(Path(run))
    pixels = model.read(image)
    original = Image.fromarray(np.ascontiguousarray(pixels))
    regions = RegionFinder().find(model(pixels)[0][0, 0])
    scale_x, scale_y, left, top = model.place(pixels)
    draw = ImageDraw.Draw(original)
    for corners in regions:
        frame = [((x - left) / scale_x, (y - top) / scale_y) for x, y in corners]
        draw.polygon(frame, outline=(255, 60, 0), width=2)
    original.save(picture)
    print(f"{picture}: {len(regions)} lines")


if __name__ == "__main__":
    main(*sys.argv[1:])
