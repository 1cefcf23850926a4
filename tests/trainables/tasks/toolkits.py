"""Small data sets, and configuration files in the toolkits' formats."""

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
  {{scale: 0.25, feature_maps: [4, 6, 13], with_extra_blocks: false, extra_block_filters: []}}
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

# {trunk} and {head} are of the two kinds below; the assigners draw nothing by chance.
RCNN = """
architecture: {architecture}
num_classes: 2
{architecture}: {{backbone: ResNet, {parts}rpn_head: RPNHead, bbox_head: BBoxHead,
  bbox_post_process: BBoxPostProcess}}
ResNet: {{norm_type: bn, freeze_norm: false, freeze_at: -1, {stages}}}
FPN: {{out_channel: 32}}
RPNHead:
  anchor_generator: {{aspect_ratios: [0.5, 1.0, 2.0], {anchors}}}
  rpn_target_assign: {{batch_size_per_im: 64, fg_fraction: 0.5, negative_overlap: 0.3,
    positive_overlap: 0.6, use_random: false}}
  train_proposal: {{min_size: 0.0, nms_thresh: 0.7, pre_nms_top_n: 100, post_nms_top_n: 10,
    topk_after_collect: true}}
  test_proposal: {{min_size: 0.0, nms_thresh: 0.7, pre_nms_top_n: 100, post_nms_top_n: 10}}
BBoxHead: {{head: {head}, roi_extractor: {{resolution: 7, sampling_ratio: 0, aligned: true}},
  bbox_assigner: BBoxAssigner, with_pool: {pool}}}
BBoxAssigner: {{batch_size_per_im: 8, bg_thresh: 0.5, fg_thresh: 0.5, fg_fraction: 0.25,
  use_random: false}}
TwoFCHead: {{out_channel: 64}}
MaskHead: {{head: MaskFeat, roi_extractor: {{resolution: 14, sampling_ratio: 0, aligned: true}},
  mask_assigner: MaskAssigner, share_bbox_feat: {pool}}}
MaskFeat: {{num_convs: {convolutions}, out_channel: 16}}
MaskAssigner: {{mask_resolution: {resolution}}}
BBoxPostProcess:
  decode: RCNNBox
  nms: {{name: MultiClassNMS, keep_top_k: 20, score_threshold: 0.05, nms_threshold: 0.5}}
"""
# The trunk up to its third stage, and the head with the fourth; or all four and a pyramid.
LAST_STAGE = {
    "parts": "neck: null, ",
    "stages": "depth: 50, return_idx: [2], num_stages: 3",
    "anchors": "anchor_sizes: [16, 32], strides: [16]",
    "head": "Res5Head",
    "pool": "true",
    "convolutions": 0,
    "resolution": 8,
}
PYRAMID = {
    "parts": "neck: FPN, ",
    "stages": "depth: 18, return_idx: [0, 1, 2, 3], num_stages: 4",
    "anchors": "anchor_sizes: [[8], [16], [32], [64], [128]], strides: [4, 8, 16, 32, 64]",
    "head": "TwoFCHead",
    "pool": "false",
    "convolutions": 1,
    "resolution": 28,
}


def rcnn_data(root, kind, architecture="FasterRCNN"):
    """Write the images of `detection_data`; return the path of a configuration of this kind."""
    datasets = detection_data(root).read_text()
    parts = dict(kind)
    if architecture == "MaskRCNN":
        parts["parts"] += "mask_head: MaskHead, mask_post_process: MaskPostProcess, "
    text = RCNN.format(architecture=architecture, **parts)
    (root / "rcnn.yml").write_text(text + datasets[datasets.index("TrainDataset:") :])
    return root / "rcnn.yml"


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
                        "area": 576,
                        "iscrowd": 0,
                        # Its lower left half, as a wing of two corners more.
                        "segmentation": [
                            [left, top, left + 24, top + 24, left + 12, top + 24, left, top + 20]
                        ],
                    }
                )
            name = f"{split}{number}.png"
            Image.fromarray(image).save(root / "images" / name)
            content["images"].append({"id": number, "file_name": name, "width": 96, "height": 96})
        (root / f"{split}.json").write_text(json.dumps(content))
    (root / "yolo.yml").write_text(YOLO.format(root=root))
    return root / "yolo.yml"
