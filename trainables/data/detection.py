"""Images with boxes: COCO's JSON and VOC's XML."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spaces.errors import DataError, one_line
from trainables.data.images import check_images, size_if_whole
from trainables.data.lines import numbered_lines
from trainables.data.problems import Problems

# Pixels by which a box may lie outside its image, from rounding. A guess.
SLACK = 1.0
# Boxes of COCO with a shorter side, in pixels, are skipped; PaddleDetection's value.
MIN_SIDE = 1e-5


@dataclass(frozen=True)
class Box:
    """A labelled box; corners in pixels from the image's left and top edge."""

    label: int
    left: float
    top: float
    right: float
    bottom: float
    hard: bool = False
    """VOC's `difficult`, COCO's `iscrowd`: counts neither as found nor as missed."""
    polygons: tuple[tuple[float, ...], ...] = ()
    """COCO's `segmentation`, alternating x and y; empty without polygons or if not read."""

    def scaled(self, across: float, down: float) -> Box:
        """Return the box after its image was scaled by these factors."""
        factors = (across, down)
        return replace(
            self,
            left=self.left * across,
            right=self.right * across,
            top=self.top * down,
            bottom=self.bottom * down,
            polygons=tuple(
                tuple(value * factors[index % 2] for index, value in enumerate(polygon))
                for polygon in self.polygons
            ),
        )

    def mirrored(self, width: float) -> Box:
        """Return the box after its image, of this width, was mirrored left to right."""
        return replace(
            self,
            left=width - self.right,
            right=width - self.left,
            polygons=tuple(
                tuple(value if index % 2 else width - value for index, value in enumerate(polygon))
                for polygon in self.polygons
            ),
        )


@dataclass(frozen=True)
class Scene:
    """The targets of one image, in the network's input."""

    boxes: Sequence[Box]
    """In pixels of the network's input."""
    size: tuple[float, float]
    """Height and width of the image within the input; the rest is padding."""


@dataclass(frozen=True)
class BoxedImage:
    image: Path
    boxes: tuple[Box, ...]
    where: str
    box_sources: tuple[str, ...]
    """The position of each box in its annotation file."""


def read_coco(
    file: Path, root: Path, problems: Problems, masks: bool = False
) -> tuple[list[BoxedImage], dict[int, str]]:
    """Return the samples of a COCO annotation file, and its class names by label.

    As in PaddleDetection, labels count from 0 in the file's order of categories, and annotations
    marked `ignore` or without an area are skipped; COCO's own files have some. With `masks`, every
    box that is not a crowd's needs polygons.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{file} cannot be read ({error.strerror}); name an existing file"
        ) from error
    except ValueError as error:
        raise DataError(f"{file} is not JSON ({one_line(error)}); correct it") from error
    missing = [key for key in ("images", "annotations", "categories") if key not in content]
    if missing:
        raise DataError(f"{file} has no {missing[0]!r}; COCO's format needs it")
    if not content["images"]:
        raise DataError(f"{file} lists no image; a split needs at least one")
    categories = content["categories"]
    labels = {category["id"]: label for label, category in enumerate(categories)}
    boxes: dict[Any, list[tuple[Box, str]]] = {image["id"]: [] for image in content["images"]}
    for index, annotation in enumerate(content["annotations"]):
        where = f"{file}: annotations[{index}]"
        category, image = annotation.get("category_id"), annotation.get("image_id")
        if category not in labels:
            problems.note(where, f"class {category} is out of range; `categories` lacks it")
        elif image not in boxes:
            problems.note(where, f"image {image} is not among `images`")
        elif len(annotation.get("bbox", ())) != 4:
            problems.note(where, "`bbox` is not [left, top, width, height]")
        else:
            left, top, width, height = map(float, annotation["bbox"])
            area = annotation.get("area", 1.0)
            if annotation.get("ignore") or min(width, height) <= MIN_SIDE or area <= 0:
                continue
            hard = bool(annotation.get("iscrowd", 0))
            polygons = _polygons(annotation.get("segmentation")) if masks and not hard else ()
            if polygons is None:
                problems.note(where, "`segmentation` is not a list of polygons; masks need one")
                continue
            corners = (left, top, left + width, top + height)
            boxes[image].append((Box(labels[category], *corners, hard, polygons), where))
    samples = []
    for index, image in enumerate(content["images"]):
        of_image = boxes[image["id"]]
        samples.append(
            BoxedImage(
                root / image["file_name"],
                tuple(box for box, _ in of_image),
                f"{file}: images[{index}]",
                tuple(where for _, where in of_image),
            )
        )
    return samples, {labels[category["id"]]: category["name"] for category in categories}


def _polygons(segmentation: Any) -> tuple[tuple[float, ...], ...] | None:
    """Return polygons of at least three corners, alternating x and y; None for anything else."""
    try:
        polygons = tuple(tuple(map(float, polygon)) for polygon in segmentation)
    except (TypeError, ValueError):
        return None
    whole = all(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in polygons)
    return polygons if polygons and whole else None


def read_voc_list(
    file: Path, root: Path, names: Sequence[str], problems: Problems
) -> list[BoxedImage]:
    """Return the samples of a list of "image.jpg annotation.xml" lines, relative to `root`."""
    samples = []
    for where, line in numbered_lines(file):
        parts = line.split()
        if len(parts) != 2:
            problems.note(where, f'{line!r} is not "image annotation.xml"; correct the line')
            continue
        annotation = root / parts[1]
        try:
            tree = ElementTree.parse(annotation)
        except OSError:
            problems.note(where, f"annotation {annotation} is missing; restore it")
            continue
        except ElementTree.ParseError as error:
            problems.note(where, f"annotation {annotation} is not XML ({error}); correct it")
            continue
        boxes, sources = [], []
        for index, item in enumerate(tree.iter("object")):
            source = f"{annotation}: object {index + 1}"
            name = item.findtext("name", "").strip()
            if name not in names:
                problems.note(
                    source, f"class {name!r} is out of range; allowed: {', '.join(names)}"
                )
                continue
            try:
                left, top, right, bottom = (
                    float(item.findtext(f"bndbox/{key}", ""))
                    for key in ("xmin", "ymin", "xmax", "ymax")
                )
            except ValueError:
                problems.note(source, "`bndbox` lacks a number among xmin, ymin, xmax and ymax")
                continue
            hard = item.findtext("difficult", "0").strip() == "1"
            boxes.append(Box(list(names).index(name), left, top, right, bottom, hard))
            sources.append(source)
        samples.append(BoxedImage(root / parts[0], tuple(boxes), where, tuple(sources)))
    return samples


def check_samples(samples: Sequence[BoxedImage], problems: Problems) -> None:
    """Note every missing or damaged image, and every box that is not inside its image."""
    check_images(((sample.image, sample.where) for sample in samples), problems)
    for sample in samples:
        size = size_if_whole(sample.image)
        if size is None:
            continue
        height, width = size
        for box, source in zip(sample.boxes, sample.box_sources, strict=True):
            corners = f"({box.left:g}, {box.top:g}) to ({box.right:g}, {box.bottom:g})"
            if box.right <= box.left or box.bottom <= box.top:
                problems.note(source, f"the box {corners} is empty; correct or remove it")
            elif min(box.left, box.top) < -SLACK or (
                box.right > width + SLACK or box.bottom > height + SLACK
            ):
                problems.note(
                    source,
                    f"the box {corners} is partly outside its image, {width} wide and "
                    f"{height} high",
                )
