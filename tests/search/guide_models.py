"""Drawn data, configuration files and weights for the guides' commands, by the names they print.

Networks are the smallest ones, trained for seconds on images smaller than the commands ask for.
Configuration files have their toolkit's form, and name data by relative paths as those do.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.trainables.tasks.toolkits import segmentation_data

CLASSIFIER = """
Arch: {name: MobileNetV1_x0_25, class_num: 2}
DataLoader:
  Train: {dataset: DATASET, sampler: {batch_size: 4}}
  Eval: {dataset: DATASET, sampler: {batch_size: 4}}
"""
DATASET = """{name: ImageNetDataset, image_root: ./photos, cls_label_path: ./photos/train_list.txt,
    transform_ops: [ResizeImage: {size: 64}, NormalizeImage: {order: ''}]}"""

# A head of one level, whose one anchor is larger than the image.
YOLO = """
architecture: YOLOv3
num_classes: 2
YOLOv3:
  {backbone: MobileNet, neck: PPYOLOTinyFPN, yolo_head: YOLOv3Head, post_process: BBoxPostProcess}
MobileNet: {scale: 0.25, feature_maps: [13], with_extra_blocks: false, extra_block_filters: []}
PPYOLOTinyFPN: {detection_block_channels: [32]}
YOLOv3Head: {anchors: [[640, 640]], anchor_masks: [[0]], loss: YOLOv3Loss}
YOLOv3Loss: {ignore_thresh: 0.7, downsample: [32], label_smooth: false}
BBoxPostProcess:
  decode: {name: YOLOBox, conf_thresh: 0.005, downsample_ratio: 32, clip_bbox: true}
  nms: {name: MultiClassNMS, keep_top_k: 10, nms_threshold: 0.45, nms_top_k: 100,
    score_threshold: 0.01}
TrainDataset: {name: COCODataSet, image_dir: images, anno_path: train.json, dataset_dir: .}
EvalDataset: {name: COCODataSet, image_dir: images, anno_path: val.json, dataset_dir: .}
TrainReader: {batch_size: 4}
"""

DB = """
Architecture:
  Backbone: {name: MobileNetV3, scale: 0.35, model_name: small, disable_se: true}
  Neck: {name: DBFPN, out_channels: 32}
  Head: {name: DBHead, k: 50}
Loss: {name: DBLoss, main_loss_type: BCELoss, alpha: 5, beta: 10, ohem_ratio: 3}
# Boxes are hardly larger than what the network marks.
PostProcess: {name: DBPostProcess, thresh: 0.3, box_thresh: 0.5, unclip_ratio: 0.1}
Train:
  dataset: {data_dir: ./text, label_file_list: [./text/train.txt]}
  loader: {batch_size_per_card: 4}
Eval:
  dataset: {data_dir: ./text, label_file_list: [./text/val.txt]}
"""


def prepared(task: str, **options: Any) -> tuple[Any, Any, Any]:
    """Return the task, an untrained model and its inputs of a batch, whose statistics its batch
    norms have: those of a short training would be none."""
    import paddle

    from trainables.loading import load_task
    from trainables.training import as_tensors

    loaded = load_task(task, {"weights": "none", **options})
    paddle.seed(0)
    model = loaded.build_untrained()
    for layer in model.sublayers():
        if isinstance(layer, paddle.nn.BatchNorm | paddle.nn.BatchNorm2D):
            layer._momentum = 0.0
    batch = next(iter(loaded.eval_batches("val", 8)))
    inputs, _ = as_tensors(batch)
    with paddle.no_grad():
        model(*inputs)
    model.eval()
    return loaded, model, batch


def fit_scores(task: str, weights: str, **options: Any) -> None:
    """Leave the weights of a classifier whose last layer alone has learnt, by least squares."""
    import paddle

    from trainables.training import as_tensors

    _, model, batch = prepared(task, **options)
    last = [layer for layer in model.sublayers() if isinstance(layer, paddle.nn.Linear)][-1]
    features: list[np.ndarray] = []
    hook = last.register_forward_pre_hook(lambda _, given: features.append(given[0].numpy()))
    with paddle.no_grad():
        model(*as_tensors(batch)[0])
    hook.remove()
    known = np.c_[features[0], np.ones(len(features[0]))]
    wanted = 4.0 * np.eye(2)[np.ravel(batch.targets)] - 2
    solved = np.linalg.lstsq(known, wanted, rcond=None)[0].astype(np.float32)
    last.weight.set_value(solved[:-1])
    last.bias.set_value(solved[-1])
    paddle.save(model.state_dict(), weights)


def train(task: str, weights: str, steps: int, learnt: int, asked: int, **options: Any) -> None:
    """Leave weights that were trained on smaller images than the command asks for."""
    import paddle

    from trainables.loading import load_task
    from trainables.training import as_tensors

    _, model, _ = prepared(task, image_size=asked, **options)
    small = load_task(task, {"weights": "none", "image_size": learnt, **options})
    optimizer = paddle.optimizer.Adam(2e-3, parameters=model.parameters())
    for step in range(steps):
        inputs, targets = as_tensors(next(iter(small.train_batches(4, step))))
        small.loss(model(*inputs), targets).backward()
        optimizer.step()
        optimizer.clear_grad()
    paddle.save(model.state_dict(), weights)


def photos(folder: Path, count: int = 4) -> None:
    """Write dark images, of class 0, and bright ones, and a list of each split."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    lines = []
    for number in range(count):
        bright = number // 2 % 2
        pixels = rng.integers(20, 50, (70, 80, 3)) + 180 * bright
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.jpg")
        lines.append(f"{number}.jpg {bright}")
    for split in ("train", "val", "test"):
        (folder / f"{split}_list.txt").write_text("\n".join(lines))


def own_images() -> None:
    """Write `photos` and the weights best.pdparams of a MobileNetV2 into this folder."""
    photos(Path("photos"))
    options = {"model": "mobilenet_v2", "data": "photos"}
    fit_scores("classification", "best.pdparams", image_size=224, **options)


def paddleclas() -> None:
    photos(Path("photos"), 12)
    Path("ResNet50_vd.yaml").write_text(CLASSIFIER.replace("DATASET", DATASET))
    fit_scores("paddleclas", "model.pdparams", config_file="ResNet50_vd.yaml")


def paddleseg() -> None:
    model = "{type: FastSCNN, num_classes: 2, enable_auxiliary_loss: false}"
    written = segmentation_data(Path.cwd(), model, 1)
    text = written.read_text().replace(str(Path.cwd()), ".")
    written.unlink()
    Path("pp_liteseg.yml").write_text(text)
    train("paddleseg", "model.pdparams", 20, 64, 256, config_file="pp_liteseg.yml")


def write_weights(task: str, weights: str, layer: str, biases: list[float], **options: Any) -> None:
    """Leave the weights of an untrained network with these biases of one layer."""
    import paddle

    from trainables.loading import load_task

    paddle.seed(0)
    model = load_task(task, {"weights": "none", **options}).build_untrained()
    (found,) = (found for name, found in model.named_sublayers() if name.endswith(layer))
    found.bias.set_value(np.array(biases, np.float32))
    paddle.save(model.state_dict(), weights)


def paddledetection() -> None:
    """Write images of one thing each that fills them, and a network that sees one everywhere."""
    rng = np.random.default_rng(0)
    Path("images").mkdir()
    for split in ("train", "val"):
        content: dict[str, Any] = {"images": [], "annotations": []}
        content["categories"] = [{"id": 1, "name": "red"}, {"id": 2, "name": "green"}]
        for number in range(4):
            label, name = number // 2 % 2, f"{split}{number}.png"
            pixels = rng.integers(0, 60, (96, 96, 3), dtype=np.uint8)
            pixels[..., label] += 160
            Image.fromarray(pixels).save(Path("images") / name)
            content["images"].append({"id": number, "file_name": name, "width": 96, "height": 96})
            box = {"bbox": [0, 0, 96, 96], "area": 96 * 96, "iscrowd": 0}
            box |= {"id": number, "image_id": number, "category_id": label + 1}
            content["annotations"].append(box)
        Path(f"{split}.json").write_text(json.dumps(content))
    Path("yolov3.yml").write_text(YOLO)
    # Place, size, whether there is something, and the scores of both classes.
    biases = [0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0]
    options = {"config_file": "yolov3.yml", "image_size": 320}
    write_weights("paddledetection", "model.pdparams", "yolo_output.0", biases, **options)


def paddleocr() -> None:
    """Write images that a line of text fills, and a network that sees text everywhere."""
    rng = np.random.default_rng(0)
    Path("text").mkdir()
    corners = [[0, 0], [319, 0], [319, 183], [0, 183]]
    regions = json.dumps([{"transcription": "x", "points": corners}])
    for split in ("train", "val"):
        lines = []
        for number in range(4):
            pixels = rng.integers(0, 255, (184, 320, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(Path("text") / f"{split}{number}.png")
            lines.append(f"{split}{number}.png\t{regions}")
        (Path("text") / f"{split}.txt").write_text("\n".join(lines))
    Path("det_mv3_db.yml").write_text(DB)
    options = {"config_file": "det_mv3_db.yml", "image_size": [256, 448]}
    write_weights("paddleocr", "best.pdparams", "binarize.conv3", [4.0], **options)
