"""The toolkits' configuration files that the models are built from."""

from __future__ import annotations

SEGMENTATION = """
batch_size: {batch}
iters: 1000
train_dataset:
  type: Dataset
  dataset_root: {data}
  train_path: {data}/train.txt
  num_classes: 2
  mode: train
  transforms:
    - {{type: ResizeStepScaling, min_scale_factor: 0.8, max_scale_factor: 1.4,
       scale_step_size: 0.1}}
    - {{type: RandomPaddingCrop, crop_size: [96, 96]}}
    - {{type: RandomHorizontalFlip}}
    - {{type: RandomVerticalFlip}}
    - {{type: Normalize}}
val_dataset:
  type: Dataset
  dataset_root: {data}
  val_path: {data}/val.txt
  num_classes: 2
  mode: val
  transforms: [{{type: Normalize}}]
test_dataset:
  type: Dataset
  dataset_root: {data}
  val_path: {data}/test.txt
  num_classes: 2
  mode: val
  transforms: [{{type: Normalize}}]
optimizer: {{type: SGD, momentum: 0.9, weight_decay: 4.0e-5}}
lr_scheduler: {{type: PolynomialDecay, learning_rate: 0.01, end_lr: 0, power: 0.9}}
loss: {{types: {losses}, coef: {weights}}}
model: {model}
"""

BOXES = """
metric: VOC
num_classes: 1
TrainDataset:
  !COCODataSet {{image_dir: images, anno_path: train.json, dataset_dir: {data}}}
EvalDataset:
  !COCODataSet {{image_dir: images, anno_path: val.json, dataset_dir: {data}}}
TestDataset:
  !COCODataSet {{image_dir: images, anno_path: test.json, dataset_dir: {data}}}
TrainReader: {{batch_size: {batch}}}
"""

# Anchors of the size of nuclei, 20 to 30 pixels wide at twice their own size.
YOLO = (
    BOXES
    + """
architecture: YOLOv3
norm_type: bn
YOLOv3:
  {{backbone: MobileNet, neck: YOLOv3FPN, yolo_head: YOLOv3Head, post_process: BBoxPostProcess}}
MobileNet:
  {{scale: 1, feature_maps: [4, 6, 13], with_extra_blocks: false, extra_block_filters: []}}
YOLOv3Head:
  anchors: [[12, 12], [18, 18], [24, 24], [30, 30], [38, 38], [46, 46], [56, 56], [72, 72],
    [100, 100]]
  anchor_masks: [[6, 7, 8], [3, 4, 5], [0, 1, 2]]
  loss: YOLOv3Loss
YOLOv3Loss: {{ignore_thresh: 0.7, downsample: [32, 16, 8], label_smooth: false}}
BBoxPostProcess:
  decode: {{name: YOLOBox, conf_thresh: 0.005, downsample_ratio: 32, clip_bbox: true}}
  nms: {{name: MultiClassNMS, keep_top_k: 100, nms_threshold: 0.45, nms_top_k: 1000,
    score_threshold: 0.01}}
"""
)

# As configs/_base_/models/faster_rcnn_r50_fpn.yml, with anchors of the size of nuclei, fewer
# proposals, and trained norms, since it starts from random weights.
FASTER_RCNN = (
    BOXES
    + """
architecture: FasterRCNN
FasterRCNN:
  {{backbone: ResNet, neck: FPN, rpn_head: RPNHead, bbox_head: BBoxHead,
    bbox_post_process: BBoxPostProcess}}
ResNet:
  {{depth: 50, norm_type: bn, freeze_norm: false, freeze_at: -1, return_idx: [0, 1, 2, 3],
    num_stages: 4}}
FPN: {{out_channel: 256}}
RPNHead:
  anchor_generator: {{aspect_ratios: [0.5, 1.0, 2.0], strides: [4, 8, 16, 32, 64],
    anchor_sizes: [[12], [24], [48], [96], [192]]}}
  rpn_target_assign: {{batch_size_per_im: 256, fg_fraction: 0.5, negative_overlap: 0.3,
    positive_overlap: 0.6, use_random: true}}
  train_proposal: {{min_size: 0.0, nms_thresh: 0.7, pre_nms_top_n: 200, post_nms_top_n: 64,
    topk_after_collect: true}}
  test_proposal: {{min_size: 0.0, nms_thresh: 0.7, pre_nms_top_n: 200, post_nms_top_n: 50}}
BBoxHead:
  head: TwoFCHead
  roi_extractor: {{resolution: 7, sampling_ratio: 0, aligned: true}}
  bbox_assigner: BBoxAssigner
BBoxAssigner:
  {{batch_size_per_im: 32, bg_thresh: 0.5, fg_thresh: 0.5, fg_fraction: 0.25, use_random: true}}
TwoFCHead: {{out_channel: 1024}}
BBoxPostProcess:
  decode: RCNNBox
  nms: {{name: MultiClassNMS, keep_top_k: 100, score_threshold: 0.05, nms_threshold: 0.5}}
"""
)

# As configs/_base_/models/mask_rcnn_r50_fpn.yml, with a smaller mask head.
MASK_RCNN = (
    FASTER_RCNN.replace("FasterRCNN", "MaskRCNN").replace(
        "bbox_post_process: BBoxPostProcess",
        "bbox_post_process: BBoxPostProcess,\n"
        "    mask_head: MaskHead, mask_post_process: MaskPostProcess",
    )
    + """
MaskHead:
  {{head: MaskFeat, roi_extractor: {{resolution: 14, sampling_ratio: 0, aligned: true}},
    mask_assigner: MaskAssigner, share_bbox_feat: false}}
MaskFeat: {{num_convs: 2, out_channel: 128}}
MaskAssigner: {{mask_resolution: 28}}
MaskPostProcess: {{binary_thresh: 0.5}}
"""
)

DB = """
Architecture:
  model_type: det
  algorithm: DB
  Backbone: {{name: MobileNetV3, scale: 0.5, model_name: large, disable_se: true}}
  Neck: {{name: DBFPN, out_channels: 256}}
  Head: {{name: DBHead, k: 50}}
Loss: {{name: DBLoss, balance_loss: true, main_loss_type: BCELoss, alpha: 5, beta: 10,
  ohem_ratio: 3}}
PostProcess: {{name: DBPostProcess, thresh: 0.3, box_thresh: 0.6, max_candidates: 1000,
  unclip_ratio: 1.5}}
Train:
  dataset: {{name: SimpleDataSet, data_dir: {data}, label_file_list: ["{data}/train.txt"]}}
  loader: {{batch_size_per_card: {batch}}}
Eval:
  dataset: {{name: SimpleDataSet, data_dir: {data}, label_file_list: ["{data}/val.txt"]}}
Test:
  dataset: {{name: SimpleDataSet, data_dir: {data}, label_file_list: ["{data}/test.txt"]}}
"""
