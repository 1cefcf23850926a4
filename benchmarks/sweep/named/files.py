"""The named files, each with its data, training and search."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.sweep.painting import Amount

# The least that delivers a model. Latency may not be improved: `max_latency_ratio` allows all.
SETTINGS: Mapping[str, Any] = {
    "budget": 0.1,
    "trials": 3,
    "choices": ["float"],
    "finetune_samples": 64,
    "retrain_samples": 128,
    "retrain_workers": 1,
    "retrain_candidates": 2,
    "calibration_samples": 8,
    "sensitivity_points": 2,
    "latency_points": 4,
    "latency_batch": 1,
    "latency_effort": 0.2,
    "eval_batch": 8,
    "batch_size": 8,
    "max_latency_ratio": 100,
    "confidence_z": 0,
}


@dataclass(frozen=True)
class Learning:
    """A training from random weights: one cosine schedule, ended as soon as the goal is reached."""

    steps: int = 240
    batch: int = 8
    rate: float = 0.02
    goal: float = 0.5
    """Fraction of the way from chance to a perfect metric at which training ends."""
    begin: str = ""
    """The file of NAMED with whose weights it starts, if they exist: those of an equal network with
    other classes. Arrays of other shapes are not taken."""


def key_of(toolkit: str, file: str) -> str:
    """Return the name of a file's folder in the work folder."""
    return f"{toolkit}__{file.replace('/', '__')}"


@dataclass(frozen=True)
class Named:
    toolkit: str
    file: str
    options: Mapping[str, Any]
    """The task's options: a small input where the network takes any size."""
    amount: Amount
    learning: Learning = Learning()
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The search's settings, in addition to SETTINGS."""
    tensor: str = ""
    """The test that compares this toolkit's input with the toolkit's own."""

    @property
    def key(self) -> str:
        return key_of(self.toolkit, self.file)


def _classifier(file: str, rate: float = 0.02, size: int = 64, begin: str = "") -> Named:
    return Named(
        "PaddleClas",
        f"ppcls/configs/{file}",
        {"image_size": size},
        # More than the largest batch of these files, 256.
        Amount(264, 48),
        Learning(rate=rate, begin=begin and f"ppcls/configs/{begin}"),
        tensor="tests/trainables/tasks/paddleclas/test_task.py::test_the_tensor_is_the_toolkits",
    )


def _segmenter(file: str, amount: Amount, learning: Learning, **settings: Any) -> Named:
    return Named(
        "PaddleSeg",
        f"configs/{file}",
        {"image_size": 128},
        amount,
        learning,
        settings,
        "tests/trainables/tasks/paddleseg/test_data.py::"
        "test_the_input_is_the_toolkits_and_the_manifest_describes_it",
    )


def _detector(file: str, size: int, learning: Learning, **settings: Any) -> Named:
    return Named(
        "PaddleDetection",
        f"configs/{file}",
        {"image_size": size},
        Amount(160, 24, 96, 96),
        learning,
        settings,
        "tests/trainables/tasks/paddledetection/test_reader.py::test_the_input_is_the_toolkits",
    )


# The loss is a sum over places and its gradient is clipped: a small peak learns nothing (LOG: why
# YOLOv3 had no row).
YOLO = Learning(steps=320, batch=4, rate=0.1, goal=0.4)
ROADSIGN = "yolov3/yolov3_mobilenet_v1_roadsign.yml"
SAME_YOLO = replace(YOLO, begin=f"configs/{ROADSIGN}")
YOLO_SETTINGS = {"learning_rate": 0.03}
# Batches of two images: the heads look at up to 512 boxes of each.
RCNN = Learning(steps=320, batch=2, rate=0.02, goal=0.2)
FASTER = "faster_rcnn/faster_rcnn_r50_fpn_1x_coco.yml"
MASK = replace(RCNN, begin=f"configs/{FASTER}")
RCNN_SETTINGS = {"batch_size": 2, "eval_batch": 2, "finetune_samples": 24, "retrain_samples": 48}
# Training crops of 1024 x 512 are resized to the input: smaller images would vanish in them.
STREET, ROOM, EYE = Amount(32, 16, 512, 256), Amount(32, 16, 256, 256), Amount(32, 16, 320, 320)

NAMED = (
    _segmenter("quick_start/pp_liteseg_optic_disc_512x512_1k.yml", EYE, Learning()),
    Named(
        "PaddleOCR",
        "configs/det/det_mv3_db.yml",
        {"image_size": [128, 128]},
        Amount(96, 24, 128, 128),
        Learning(steps=300, rate=0.05),
        # After 64 samples a pruned model found no region.
        {"finetune_samples": 256, "retrain_samples": 384, "learning_rate": 0.03},
        tensor="tests/trainables/tasks/paddleocr/test_detection.py::"
        "test_the_tensor_is_the_toolkits",
    ),
    _detector(ROADSIGN, 96, YOLO, **YOLO_SETTINGS),
    # 80 classes on few images: 128 samples of training in full left a pruned model 40 % behind.
    _detector(
        "yolov3/yolov3_mobilenet_v1_270e_coco.yml",
        96,
        SAME_YOLO,
        **YOLO_SETTINGS,
        finetune_samples=256,
        retrain_samples=768,
    ),
    _detector("yolov3/yolov3_mobilenet_v1_270e_voc.yml", 96, SAME_YOLO, **YOLO_SETTINGS),
    _detector(FASTER, 64, RCNN, **RCNN_SETTINGS),
    _detector("mask_rcnn/mask_rcnn_r50_fpn_1x_coco.yml", 64, MASK, **RCNN_SETTINGS),
    _segmenter(
        "pp_liteseg/pp_liteseg_stdc1_cityscapes_1024x512_scale0.5_160k.yml", STREET, Learning()
    ),
    _segmenter("segformer/segformer_b0_cityscapes_1024x512_160k.yml", STREET, Learning()),
    # With little training the plan with 0.3 of every group lost 18 %.
    _segmenter(
        "ocrnet/ocrnet_hrnetw18_cityscapes_1024x512_160k.yml",
        STREET,
        Learning(),
        finetune_samples=256,
        retrain_samples=512,
    ),
    # Release 2.8 has no PP-LiteSeg, OCRNet or SegFormer for ADE20K.
    _segmenter("topformer/topformer_tiny_ade20k_512x512_160k.yml", ROOM, Learning(rate=0.05)),
    _classifier("quick_start/new_user/ShuffleNetV2_x0_25.yaml", rate=0.05),
    _classifier("quick_start/MobileNetV3_large_x1_0.yaml", rate=0.05),
    _classifier("quick_start/professional/ResNet50_vd_CIFAR100.yaml", size=32),
    _classifier("slim/PPLCNet_x1_0_quantization.yaml", rate=0.05),
    _classifier(
        "slim/MobileNetV3_large_x1_0_prune.yaml",
        rate=0.05,
        begin="quick_start/MobileNetV3_large_x1_0.yaml",
    ),
    _classifier(
        "slim/ResNet50_vd_prune.yaml", begin="quick_start/professional/ResNet50_vd_CIFAR100.yaml"
    ),
)
