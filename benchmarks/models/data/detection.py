"""Detection: nuclei in fluorescence microscopy, as tiles and COCO's json, with their outlines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from contourpy import contour_generator
from PIL import Image
from scipy import ndimage

from benchmarks.models.data.segmentation import brightness
from benchmarks.problems.nuclei import BANDS, read_frames

SIDE = 64
# Pixels from one tile to the next: tiles overlap, splits do not. A guess.
STEP = 32
# A nucleus counts in a tile that shows more than this share of its box. A guess.
LEAST_SHOWN = 0.4


def boxes_of(nuclei: np.ndarray) -> np.ndarray:
    """Return number, left, top, right and bottom of every nucleus in a frame, shape (n, 5)."""
    found = enumerate(ndimage.find_objects(nuclei.astype(int)), 1)
    return np.array(
        [
            [number, area[1].start, area[0].start, area[1].stop, area[0].stop]
            for number, area in found
            if area is not None
        ]
    )


def shown(boxes: np.ndarray, left: int, top: int) -> np.ndarray:
    """Return the boxes in a tile, in its pixels, clipped to it."""
    moved = boxes - (0, left, top, left, top)
    cut = np.clip(moved, 0, SIDE)
    areas = [np.prod(b[:, 3:] - b[:, 1:3], axis=1) for b in (moved, cut)]
    visible = areas[1] > LEAST_SHOWN * areas[0]
    return np.column_stack([boxes[visible, 0], cut[visible, 1:]])


def outlines(inside: np.ndarray) -> list[list[float]]:
    """Return polygons around the set pixels: x and y alternate, in pixels from the top left."""
    # Padded: an outline that touches the edge would stay open.
    whole = np.pad(ndimage.binary_fill_holes(inside), 1).astype(float)
    return [(line - 0.5).ravel().tolist() for line in contour_generator(z=whole).lines(0.5)]


def write(root: Path) -> None:
    """Write tiles, train.json, val.json and test.json. Tiles of two splits do not overlap."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    stain, nuclei = read_frames()
    bright = (255 * brightness(stain)).astype(np.uint8)
    boxes = [boxes_of(frame) for frame in nuclei]
    for split, (first, last) in BANDS.items():
        images: list[dict[str, object]] = []
        annotations: list[dict[str, object]] = []
        for frame in range(len(stain)):
            for top in range(0, stain.shape[1] - SIDE + 1, STEP):
                for left in range(first, last - SIDE + 1, STEP):
                    found = shown(boxes[frame], left, top)
                    if not len(found):
                        continue
                    name = f"{split}-{frame}-{top}-{left}.png"
                    pixels = bright[frame, top : top + SIDE, left : left + SIDE]
                    Image.fromarray(np.stack([pixels] * 3, axis=-1)).save(root / "images" / name)
                    seen = nuclei[frame, top : top + SIDE, left : left + SIDE]
                    annotations += [
                        _annotation(
                            len(annotations) + index, len(images), box, outlines(seen == number)
                        )
                        for index, (number, *box) in enumerate(found.tolist())
                    ]
                    size = {"width": SIDE, "height": SIDE}
                    images.append({"id": len(images), "file_name": name, **size})
        categories = [{"id": 1, "name": "nucleus"}]
        noted = {"images": images, "annotations": annotations, "categories": categories}
        (root / f"{split}.json").write_text(json.dumps(noted))


def _annotation(
    number: int, image: int, box: list[int], polygons: list[list[float]]
) -> dict[str, object]:
    left, top, right, bottom = box
    across, down = right - left, bottom - top
    bbox = [left, top, across, down]
    names = {"id": number, "image_id": image, "category_id": 1}
    return {**names, "bbox": bbox, "area": across * down, "iscrowd": 0, "segmentation": polygons}
