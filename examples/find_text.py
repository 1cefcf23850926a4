"""python -m examples.find_text RUN IMAGE PICTURE: the image with a frame around each line."""

import sys
from pathlib import Path

from PIL import Image, ImageDraw

from examples.deploy import Deployed
from trainables.text_regions import RegionFinder


def main(run: str, image: str, picture: str) -> None:
    with Image.open(image) as opened:
        original = opened.convert("RGB")
    model = Deployed(Path(run))
    regions = RegionFinder().find(model(original)[0][0, 0])
    height, width = model.size
    draw = ImageDraw.Draw(original)
    for corners in regions:
        frame = [(x * original.width / width, y * original.height / height) for x, y in corners]
        draw.polygon(frame, outline=(255, 60, 0), width=2)
    original.save(picture)
    print(f"{picture}: {len(regions)} lines")


if __name__ == "__main__":
    main(*sys.argv[1:])
