"""Files that have the same network: what one trial says of one of them, it says of all.

They differ in data, schedule, classes or pretrained weights.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.sweep.reading import read
from benchmarks.sweep.stages import STAGES, Row

# Keys that change neither groups nor operators, wherever they stand.
IGNORED = {"num_classes", "class_num", "pretrained", "pretrained_base", "use_ssld"}
# Sections of PaddleDetection's files that are not the network.
SECTIONS = {
    *("TrainDataset", "EvalDataset", "TestDataset", "TrainReader", "EvalReader", "TestReader"),
    *("LearningRate", "OptimizerBuilder", "epoch", "weights", "pretrain_weights", "log_iter"),
    *("save_dir", "snapshot_epoch", "metric", "map_type", "use_gpu", "use_xpu", "use_mlu"),
    *("use_npu", "worker_num", "find_unused_parameters", "print_flops", "save_prediction_only"),
    *("finetune_exclude_pretrained_params", "export", "use_ema", "ema_decay"),
}


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _cleaned(value[k]) for k in sorted(value, key=str) if k not in IGNORED}
    return [_cleaned(item) for item in value] if isinstance(value, list) else value


@cache
def network_of(toolkit: str, file: Path) -> str:
    """Return the part of a configuration that says which network is trained by which loss."""
    config = read(file)
    parts: Any = {
        "PaddleClas": config.get("Arch"),
        "PaddleSeg": [config.get("model"), config.get("loss")],
        "PaddleOCR": config.get("Architecture"),
        "PaddleDetection": {k: v for k, v in config.items() if k not in SECTIONS},
    }[toolkit]
    return json.dumps([toolkit, _cleaned(parts)], sort_keys=True, default=str)


def copied(row: Row, other: Row) -> Row | None:
    """Return the row of a file that is built, with the groups and the trial of a file that has the
    same network; None if that one's did not pass."""
    if other.reached != STAGES[-1] or other.failed or other.refused or row.reached is None:
        return None
    if row.failed or row.refused or STAGES.index(row.reached) < STAGES.index("build"):
        return None
    return replace(
        row,
        reached=other.reached,
        groups=other.groups,
        branches=other.branches,
        excluded=other.excluded,
        export_difference=other.export_difference,
        int8=other.int8,
        like=other.like or other.file,
    )
