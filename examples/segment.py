"""python -m examples.segment RUN IMAGE PICTURE: the image with each class in its colour."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from examples.deploy import Deployed


def main(run: str, image: str, picture: str) -> None:
    with Image.open(image) as opened:
        original = opened.convert("RGB")
    scores = Deployed(Path(run))(original)[0][0]
    classes = Image.fromarray(scores.argmax(0).astype(np.uint8))
    labels = np.asarray(classes.resize(original.size, Image.Resampling.NEAREST))
    colours = np.random.default_rng(1).integers(60, 256, (256, 3))
    pixels = np.asarray(original)
    # Class 0 is the background.
    result = np.where(labels[..., None] > 0, (pixels + colours[labels]) / 2, pixels)
    Image.fromarray(result.astype(np.uint8)).save(picture)
    print(f"{picture}: {(labels > 0).mean():.1%} of the image is not background")


if __name__ == "__main__":
    main(*sys.argv[1:])
