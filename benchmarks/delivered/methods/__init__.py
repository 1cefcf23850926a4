"""The methods: one flow a file, each a function `deliver` (benchmarks/delivered/model.py)."""

from __future__ import annotations

from functools import partial

from benchmarks.delivered.methods import (
    auto_compression,
    before,
    int8,
    optuna_sampler,
    ours,
    threshold,
)
from benchmarks.delivered.model import Method

THRESHOLD, AUTO_COMPRESSION, BEFORE, OURS = "threshold", "auto_compression", "before", "ours"

METHODS: dict[str, Method] = {
    THRESHOLD: threshold.deliver,
    "int8_ptq": int8.deliver_calibrated,
    "int8_qat": int8.deliver_trained,
    AUTO_COMPRESSION: auto_compression.deliver,
    "optuna": optuna_sampler.deliver,
    BEFORE: before.deliver,
    OURS: ours.deliver,
}
VARIANTS: dict[str, Method] = {
    name: partial(ours.deliver_variant, name=name) for name in ours.VARIANTS
}
ALL: dict[str, Method] = {**METHODS, **VARIANTS}
