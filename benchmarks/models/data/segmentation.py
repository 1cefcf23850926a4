"""Segmentation: nuclei in fluorescence microscopy, as images and PaddleSeg's lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.problems.nuclei import BANDS, read_frames

SIDE = 96
# Pixels from one tile to the next: tiles overlap, splits do not. A guess.
STEP = 40


def brightness(stain: np.ndarray) -> np.ndarray:
    """Return frames scaled to 0 to 1, clipped at the 1st and the 99.5th percentile."""
    low, high = np.percentile(stain, (1, 99.5))
    return np.clip((stain.astype("f4") - low) / (high - low), 0, 1)


def write(root: Path) -> None:
    """Write tiles and masks, and train.txt, val.txt and test.txt."""
    stain, nuclei = read_frames()
    bright = brightness(stain)
    for split, (first, last) in BANDS.items():
        (root / split).mkdir(parents=True, exist_ok=True)
        lines = []
        for frame in range(len(stain)):
            for top in range(0, stain.shape[1] - SIDE + 1, STEP):
                for left in range(first, last - SIDE + 1, STEP):
                    part = (frame, slice(top, top + SIDE), slice(left, left + SIDE))
                    name = f"{split}/{frame}-{top}-{left}"
                    pixels = (255 * bright[part]).astype(np.uint8)
                    Image.fromarray(np.stack([pixels] * 3, axis=-1)).save(root / f"{name}.png")
                    mask = (nuclei[part] > 0).astype(np.uint8)
                    Image.fromarray(mask).save(root / f"{name}-mask.png")
                    lines.append(f"{name}.png {name}-mask.png")
        (root / f"{split}.txt").write_text("\n".join(lines) + "\n")
