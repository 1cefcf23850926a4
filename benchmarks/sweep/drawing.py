"""Small drawn data in the folders and files that a toolkit's configuration names.

Paths are used as the configuration has them, so files are written to the current folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.sweep.painting import (
    CLASSES,
    FEW,
    Amount,
    Box,
    corners,
    mask,
    picture,
    random_box,
    random_of,
    stripes,
    words,
)

VOC_CLASSES = 20
# The random seed's first number by split, so that held-out images differ from those of training.
SPLITS = {"train": 0, "val": 1}


class OutsideError(ValueError):
    """A configuration names data outside of the folder that data is drawn in."""


def _inside(path: str | Path) -> Path:
    """Return a path of the configuration; OutsideError if it is not in the current folder."""
    given = Path(path)
    if not given.absolute().resolve().is_relative_to(Path.cwd().resolve()):
        raise OutsideError(f"{path} leads out of the folder that data is drawn in")
    return given


def _lines(file: Path, lines: Iterable[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def classification(config: dict[str, Any], amount: Amount = FEW) -> None:
    """Draw the data that PaddleClas's DataLoader names: a list and its images for every split."""
    classes = (config.get("Arch") or {}).get("class_num", 1000)
    drawn = min(classes if isinstance(classes, int) else CLASSES, CLASSES)
    whole = (0, 0, amount.width, amount.height)
    for number, (split, loader) in enumerate((config.get("DataLoader") or {}).items()):
        dataset = (loader or {}).get("dataset") if isinstance(loader, dict) else None
        if not dataset or not dataset.get("cls_label_path") or not dataset.get("image_root"):
            continue
        root, between = _inside(dataset["image_root"]), dataset.get("delimiter") or " "
        lines = []
        for index in range(amount.of(number)):
            name = f"drawn/{split}{index}.png"
            label = index % max(drawn, 1)
            picture(root / name, amount, random_of(number, index), [(whole, label)])
            lines.append(f"{name}{between}{label}")
        _lines(_inside(dataset["cls_label_path"]), lines)


# A data set of PaddleSeg: from root, split and number to the paths of image and mask.
Layout = Callable[[Path, str, int], tuple[Path, Path]]
LAYOUTS: dict[str, Layout] = {
    "Cityscapes": lambda root, split, i: (
        root / f"leftImg8bit/{split}/drawn/drawn_{i}_leftImg8bit.png",
        root / f"gtFine/{split}/drawn/drawn_{i}_gtFine_labelTrainIds.png",
    ),
    "ADE20K": lambda root, split, i: (
        root / f"images/{_long(split)}/{i}.jpg",
        root / f"annotations/{_long(split)}/{i}.png",
    ),
    "CocoStuff": lambda root, split, i: (
        root / f"images/{split}2017/{i}.jpg",
        root / f"annotations/{split}2017/{i}.png",
    ),
    "PascalVOC": lambda root, split, i: (
        root / f"VOC2012/JPEGImages/{split}{i}.jpg",
        root / f"VOC2012/SegmentationClass/{split}{i}.png",
    ),
    "PascalContext": lambda root, split, i: (
        root / f"JPEGImages/{split}{i}.jpg",
        root / f"Context/{split}{i}.png",
    ),
    "EG1800": lambda root, split, i: (
        root / f"Images/{split}{i}.png",
        root / f"Labels/{split}{i}.png",
    ),
    "SUPERVISELY": lambda root, split, i: (
        root / f"ds/img/{split}{i}.png",
        root / f"ds/ann/{split}{i}.png",
    ),
    "AutoNUE": lambda root, split, i: (
        root / f"leftImg8bit/{split}/drawn/{i}_leftImg8bit.png",
        root / f"gtFine/{split}/drawn/{i}_gtFine_labellevel3Ids.png",
    ),
}
# Data sets with their own list: from split to its name, and from image, mask, split and number to
# its line.
LISTS: dict[str, tuple[Callable[[str], str], Callable[[str, str, str, int], str]]] = {
    "PascalVOC": (
        lambda split: f"VOC2012/ImageSets/Segmentation/{split}.txt",
        lambda image, mask, split, i: f"{split}{i}",
    ),
    "PascalContext": (
        lambda split: f"ImageSets/Segmentation/{split}_context.txt",
        lambda image, mask, split, i: f"{split}{i}",
    ),
    "EG1800": (
        lambda split: f"eg1800_{'train' if split == 'train' else 'test'}.txt",
        lambda image, mask, split, i: f"{split}{i}.png",
    ),
    "SUPERVISELY": (
        lambda split: f"supervisely_face_{'train' if split == 'train' else 'test'}_easy.txt",
        lambda image, mask, split, i: f"any/{image}",
    ),
    "MiniDeepGlobeRoadExtraction": (
        lambda split: f"{split}.txt",
        lambda image, mask, split, i: f"{image}|{mask}",
    ),
    "PPHumanSeg14K": (
        lambda split: f"{split}.txt",
        lambda image, mask, split, i: f"{image} {mask}",
    ),
}
RETINAS = {"OpticDiscSeg", "DRIVE", "CHASEDB1", "STARE", "HRF"}
PEOPLE = {"EG1800", "SUPERVISELY", "PPHumanSeg14K"}
BINARY = frozenset({*RETINAS, *PEOPLE, "MiniDeepGlobeRoadExtraction"})


def _long(split: str) -> str:
    return {"train": "training", "val": "validation"}.get(split, split)


def _plain(root: Path, split: str, i: int) -> tuple[Path, Path]:
    return root / f"drawn/{split}{i}.png", root / f"drawn/{split}{i}_mask.png"


def segmentation(config: dict[str, Any], amount: Amount = FEW) -> None:
    """Draw the data that PaddleSeg's data sets name, each in its own layout."""
    for key, split in (("train_dataset", "train"), ("val_dataset", "val"), ("test_dataset", "val")):
        dataset = config.get(key)
        if not isinstance(dataset, dict) or "type" not in dataset:
            continue
        kind = str(dataset["type"])
        if kind == "PSSLDataset":
            _pseudo_labels(dataset, amount)
            continue
        if "dataset_root" not in dataset:
            continue
        _segmented(kind, dataset, key, split, amount)


def _segmented(kind: str, dataset: dict[str, Any], key: str, split: str, amount: Amount) -> None:
    root = _inside(dataset["dataset_root"])
    classes = 2 if kind in BINARY else int(dataset.get("num_classes") or CLASSES)
    lines = []
    for index in range(amount.of(SPLITS[split])):
        image, label = LAYOUTS.get(kind, _plain)(root, split, index)
        # The order of the stripes differs between images, so that position does not give the label.
        shown = stripes(amount, classes, index)
        picture(image, amount, random_of(SPLITS[split], index), shown)
        mask(label, amount, shown)
        names = (image.relative_to(root).as_posix(), label.relative_to(root).as_posix())
        line = LISTS[kind][1](*names, split, index) if kind in LISTS else " ".join(names)
        lines.append(line)
    if kind == "Dataset":
        named = dataset.get("train_path" if key == "train_dataset" else "val_path")
        if named:
            _lines(_inside(named), lines)
    elif kind in LISTS:
        _lines(root / LISTS[kind][0](split), lines)
        if kind == "PascalVOC":
            # `trainaug` adds a second list, whose masks are in another folder.
            _lines(root / LISTS[kind][0]("aug"), lines)
            for index in range(amount.of(SPLITS[split])):
                shown = stripes(amount, classes, index)
                mask(root / f"VOC2012/SegmentationClassAug/{split}{index}.png", amount, shown)
    elif kind not in LAYOUTS:
        _lines(root / f"{split}_list.txt", lines)


def _pseudo_labels(dataset: dict[str, Any], amount: Amount) -> None:
    """Draw ImageNet's images with the pseudo labels of PSSL."""
    images, labels = (_inside(dataset[key]) for key in ("imagenet_root", "pssl_root"))
    names = [f"train/n01440764/n01440764_{index}.JPEG" for index in range(amount.images)]
    for index, name in enumerate(names):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        grey = Image.new("RGB", (amount.width, amount.height), (40 * index % 256, 0, 0))
        grey.save(images / name, "JPEG")
        mask(labels / f"{name}_drawn.png", amount, stripes(amount, CLASSES, index))
    _lines(labels / "train.txt", [f"{name}_drawn.png" for name in names])
    _lines(labels / "imagenet_lsvrc_2015_synsets.txt", ["n01440764"])


def detection(config: dict[str, Any], amount: Amount = FEW) -> None:
    """Draw the data that PaddleDetection's data sets name: COCO's json, or VOC's xml and lists."""
    classes = int(config.get("num_classes") or CLASSES)
    for number, key in enumerate(("TrainDataset", "EvalDataset")):
        dataset = config.get(key)
        if not isinstance(dataset, dict) or not dataset.get("anno_path"):
            continue
        root = _inside(dataset.get("dataset_dir") or ".")
        if dataset.get("name") == "COCODataSet":
            _coco(root, dataset, classes, amount, number)
        elif dataset.get("name") == "VOCDataSet":
            _voc(root, dataset, classes, amount, number)


def _boxed(file: Path, label: int, amount: Amount, split: int, index: int) -> Box:
    """Write an image with one box in the colour of its label; return the box."""
    rng = random_of(split, index)
    box = random_box(amount, rng)
    picture(file, amount, rng, [(box, label)])
    return box


def _coco(root: Path, dataset: dict[str, Any], classes: int, amount: Amount, split: int) -> None:
    images, annotations = [], []
    for index in range(amount.of(split)):
        name, label = f"drawn{index}.png", index % min(classes, CLASSES)
        file = root / (dataset.get("image_dir") or ".") / name
        box = _boxed(file, label, amount, split, index)
        images.append(
            {"id": index, "file_name": name, "width": amount.width, "height": amount.height}
        )
        annotations.append(
            {
                "id": index,
                "image_id": index,
                "category_id": label + 1,
                "bbox": list(box),
                "area": box[2] * box[3],
                "iscrowd": 0,
                "segmentation": [[value for point in corners(box) for value in point]],
            }
        )
    categories = [{"id": number + 1, "name": f"class {number}"} for number in range(classes)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    _lines(root / dataset["anno_path"], [json.dumps(content)])


def _voc(root: Path, dataset: dict[str, Any], classes: int, amount: Amount, split: int) -> None:
    names = [f"class {number}" for number in range(classes)]
    if dataset.get("label_list"):
        _lines(root / dataset["label_list"], names)
    else:
        # The first names of the toolkit's own list.
        names = ["aeroplane", "bicycle", "bird", "boat"]
    lines = []
    for index in range(amount.of(split)):
        image, noted = f"images/drawn{split}-{index}.png", f"annotations/drawn{split}-{index}.xml"
        label = index % min(len(names), CLASSES)
        left, top, width, height = _boxed(root / image, label, amount, split, index)
        size = f"<width>{amount.width}</width><height>{amount.height}</height>"
        _lines(
            root / noted,
            [
                f"<annotation><size>{size}</size>",
                f"<object><name>{names[label]}</name>",
                "<difficult>0</difficult><bndbox>",
                f"<xmin>{left}</xmin><ymin>{top}</ymin>",
                f"<xmax>{left + width}</xmax><ymax>{top + height}</ymax>",
                "</bndbox></object></annotation>",
            ],
        )
        lines.append(f"{image} {noted}")
    _lines(root / dataset["anno_path"], lines)


def text(config: dict[str, Any], amount: Amount = FEW) -> None:
    """Draw the data that PaddleOCR's data sets name: words, and label files of their corners."""
    for number, split in enumerate(("Train", "Eval")):
        dataset = (config.get(split) or {}).get("dataset") or {}
        lists = dataset.get("label_file_list") or []
        if not dataset.get("data_dir") or not lists:
            continue
        root, lines = _inside(dataset["data_dir"]), []
        for index in range(amount.of(number)):
            name = f"drawn/{split}{index}.png"
            regions = [
                {"transcription": word, "points": corners(box)}
                for word, box in words(root / name, amount, random_of(number, index))
            ]
            lines.append(f"{name}\t{json.dumps(regions)}")
        for file in [lists] if isinstance(lists, str) else lists:
            _lines(_inside(file), lines)
