"""Detection: the crowns of trees in four aerial photos, as tiles and COCO's json."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
from PIL import Image

from tests.models.data.text import folder_of

SIDE = 160
STRIDE = 100
PHOTOS = (
    "2019_YELL_2_528000_4978000_image_crop2",
    "2019_YELL_2_541000_4977000_image_crop",
    "OSBS_029",
    "SOAP_061",
)
# Of a crown: less of it in a tile is no crown there.
LEAST_SHOWN = 0.4
# The right of the large photos is held out, its upper half for validation.
HELD_OUT = 0.3
LARGE = 1_000


def read_boxes(file: Path) -> np.ndarray:
    """Return left, top, right and bottom of every box of a VOC file, shape (n, 4)."""
    corners = ("xmin", "ymin", "xmax", "ymax")
    root = ET.parse(file).getroot()
    boxes = [
        [float(box.findtext(corner) or 0) for corner in corners] for box in root.iter("bndbox")
    ]
    return np.array(boxes)


def shown(boxes: np.ndarray, left: int, top: int) -> np.ndarray:
    """Return the boxes of a tile, in its pixels, cut off at its sides."""
    moved = boxes - (left, top, left, top)
    cut = np.clip(moved, 0, SIDE)
    areas = [np.prod(b[:, 2:] - b[:, :2], axis=1) for b in (moved, cut)]
    return cut[areas[1] > LEAST_SHOWN * areas[0]]


def regions(width: int, height: int) -> dict[str, tuple[int, int, int, int]]:
    """Return left, top, right and bottom of the part of a photo that each split has."""
    if width < LARGE:
        return {"train": (0, 0, width, height)}
    border, middle = int(width * (1 - HELD_OUT)), height // 2
    return {
        "train": (0, 0, border, height),
        "val": (border, 0, width, middle),
        "test": (border, middle, width, height),
    }


def starts(first: int, last: int) -> list[int]:
    """Return where tiles begin along a side, the last one at its end."""
    return sorted({*range(first, last - SIDE + 1, STRIDE), last - SIDE})


def write(root: Path) -> None:
    """Write tiles, and train.json, val.json and test.json; no tile shows any of another split."""
    folder = folder_of("deepforest") / "data"
    (root / "images").mkdir(parents=True, exist_ok=True)
    content: dict[str, dict[str, list[dict[str, object]]]] = {
        split: {"images": [], "annotations": [], "categories": [{"id": 1, "name": "tree"}]}
        for split in ("train", "val", "test")
    }
    for number, photo in enumerate(PHOTOS):
        boxes = read_boxes(folder / f"{photo}.xml")
        with Image.open(folder / f"{photo}.png") as opened:
            image = opened.convert("RGB")
        for split, (first, upper, last, lower) in regions(*image.size).items():
            for top in starts(upper, lower):
                for left in starts(first, last):
                    name = f"{number}-{top}-{left}.png"
                    found = shown(boxes, left, top)
                    if len(found):
                        tile = image.crop((left, top, left + SIDE, top + SIDE))
                        tile.save(root / "images" / name)
                        _note(content[split], name, found)
    for split, noted in content.items():
        (root / f"{split}.json").write_text(json.dumps(noted))


def _note(content: dict[str, list[dict[str, object]]], name: str, boxes: np.ndarray) -> None:
    """Note a tile and its boxes."""
    number = len(content["images"])
    content["images"].append({"id": number, "file_name": name, "width": SIDE, "height": SIDE})
    for left, top, right, bottom in boxes.tolist():
        content["annotations"].append(
            {
                "id": len(content["annotations"]),
                "image_id": number,
                "category_id": 1,
                "bbox": [left, top, right - left, bottom - top],
                "area": (right - left) * (bottom - top),
                "iscrowd": 0,
            }
        )
