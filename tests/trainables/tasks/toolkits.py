"""Small data sets with configuration files as the toolkits have them."""

import json

import numpy as np
from PIL import Image

SEG = """
batch_size: 4
iters: 100
train_dataset:
  type: Dataset
  dataset_root: {root}
  train_path: {root}/train.txt
  num_classes: 2
  mode: train
  transforms:
    - {{type: RandomHorizontalFlip}}
    - {{type: RandomPaddingCrop, crop_size: [64, 64]}}
    - {{type: Normalize}}
val_dataset:
  type: Dataset
  dataset_root: {root}
  val_path: {root}/val.txt
  num_classes: 2
  mode: val
  transforms: [{{type: Normalize}}]
optimizer: {{type: SGD, momentum: 0.9, weight_decay: 4.0e-5}}
lr_scheduler: {{type: PolynomialDecay, learning_rate: 0.01, end_lr: 0, power: 0.9}}
loss: {{types: [{{type: CrossEntropyLoss}}], coef: {coef}}}
model: {model}
"""

YOLO = """
architecture: YOLOv3
num_classes: 2
norm_type: bn
YOLOv3:
  {{backbone: MobileNet, neck: YOLOv3FPN, yolo_head: YOLOv3Head, post_process: BBoxPostProcess}}
MobileNet:
  {{scale: 1, feature_maps: [4, 6, 13], with_extra_blocks: false, extra_block_filters: []}}
YOLOv3Head:
  anchors: [[10, 13], [16, 30], [33, 23], [30, 61], [62, 45], [59, 119], [116, 90], [156, 198],
    [373, 326]]
  anchor_masks: [[6, 7, 8], [3, 4, 5], [0, 1, 2]]
  loss: YOLOv3Loss
YOLOv3Loss: {{ignore_thresh: 0.7, downsample: [32, 16, 8], label_smooth: false}}
BBoxPostProcess:
  decode: {{name: YOLOBox, conf_thresh: 0.005, downsample_ratio: 32, clip_bbox: true}}
  nms: {{name: MultiClassNMS, keep_top_k: 100, nms_threshold: 0.45, nms_top_k: 1000,
    score_threshold: 0.01}}
TrainDataset:
  !COCODataSet {{image_dir: images, anno_path: train.json, dataset_dir: {root}}}
EvalDataset:
  !COCODataSet {{image_dir: images, anno_path: val.json, dataset_dir: {root}}}
TrainReader: {{batch_size: 4}}
"""


def segmentation_data(root, model, heads):
    """Write images with a bright square each and its mask; return the configuration's path."""
    rng = np.random.default_rng(0)
    lines = []
    for number in range(16):
        mask = np.zeros((80, 96), np.uint8)
        top, left = rng.integers(0, 50, 2)
        mask[top : top + 30, left : left + 30] = 1
        image = rng.integers(0, 80, (80, 96, 3)) + 120 * mask[..., None]
        Image.fromarray(image.astype(np.uint8)).save(root / f"{number}.png")
        Image.fromarray(mask).save(root / f"{number}-mask.png")
        lines.append(f"{number}.png {number}-mask.png")
    (root / "train.txt").write_text("\n".join(lines[:10]))
    (root / "val.txt").write_text("\n".join(lines[10:]))
    (root / "seg.yml").write_text(SEG.format(root=root, model=model, coef=[1] * heads))
    return root / "seg.yml"


def detection_data(root):
    """Write images with squares of two colours and where they are, as COCO does."""
    rng = np.random.default_rng(0)
    (root / "images").mkdir()
    for split, count in (("train", 12), ("val", 8)):
        content = {
            "images": [],
            "annotations": [],
            "categories": [{"id": 1, "name": "red"}, {"id": 2, "name": "green"}],
        }
        for number in range(count):
            image = rng.integers(0, 60, (96, 96, 3), dtype=np.uint8)
            for _ in range(3):
                label = int(rng.integers(2))
                left, top = (int(value) for value in rng.integers(0, 70, 2))
                image[top : top + 24, left : left + 24, label] = 220
                content["annotations"].append(
                    {
                        "id": len(content["annotations"]),
                        "image_id": number,
                        "category_id": label + 1,
                        "bbox": [left, top, 24, 24],
                    }
                )
            name = f"{split}{number}.png"
            Image.fromarray(image).save(root / "images" / name)
            content["images"].append({"id": number, "file_name": name})
        (root / f"{split}.json").write_text(json.dumps(content))
    (root / "yolo.yml").write_text(YOLO.format(root=root))
    return root / "yolo.yml"
