"""python -m examples.segment RUN IMAGE PICTURE: write the image with its classes coloured."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from examples.deployed import Deployed


def main(run: str, image: str, picture: str) -> None:
    model = Deployed(Path(run))
    pixels = model.read(image)
    height, width = pixels.shape[:2]
    classes = model(pixels)[0][0].argmax(0).astype(np.uint8)
    scale_x, scale_y, left, top = model.place(pixels)
    # Each pixel takes the class at its place in the input; one that was cropped takes the nearest.
    rows = np.clip(((np.arange(height) + 0.5) * scale_y + top).astype(int), 0, len(classes) - 1)
    columns = np.clip(((np.arange(width) + 0.5) * scale_x + left).astype(int), 0, model.size[1] - 1)
    labels = classes[rows[:, None], columns]
    colours = np.random.default_rng(1).integers(60, 256, (256, 3))
    # Class 0 is the background.
    result = np.where(labels[..., None] > 0, (pixels + colours[labels]) / 2, pixels)
    Image.fromarray(result.astype(np.uint8)).save(picture)
    print(f"{picture}: {(labels > 0).mean():.1%} of the image is not background")


if __name__ == "__main__":
    main(*sys.argv[1:])
