"""A plan: the ratio of each pruning group, and the quantization choice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

Precision = Literal["float", "bfloat16", "int8"]
EngineKind = Literal["onednn", "gpu", "tensorrt"]
"""The backend of Paddle Inference."""
ImportanceCriterion = Literal["l1_norm", "l2_norm", "geometric_median", "batch_norm_scale"]
CalibrationAlgorithm = Literal["abs_max", "avg", "hist", "KL", "mse", "emd"]


class QuantizationChoice(str, Enum):
    """The precision a model is deployed in, and how it is quantized."""

    FLOAT = "float"
    BFLOAT16 = "bfloat16"
    INT8_PTQ = "int8_ptq"
    """Post-training: a calibration pass fixes the scales."""
    INT8_QAT = "int8_qat"
    """Quantization-aware training (Jacob et al., CVPR 2018)."""
    INT8_QAT_PACT = "int8_qat_pact"
    """The same with learned clipping of activations (PACT, Choi et al., 2018)."""

    @property
    def precision(self) -> Precision:
        """The precision that the engine computes in."""
        if self is QuantizationChoice.FLOAT:
            return "float"
        return "bfloat16" if self is QuantizationChoice.BFLOAT16 else "int8"

    @property
    def is_trained(self) -> bool:
        """Whether the quantized model is trained, not only calibrated."""
        return self in (QuantizationChoice.INT8_QAT, QuantizationChoice.INT8_QAT_PACT)

    @property
    def timed_as(self) -> QuantizationChoice:
        """The choice whose timings hold for this one too: both export the same operators.

        PACT's clipping is not exported. Quantization-aware training leaves more quantize operators
        in an export than calibration does.
        """
        return QuantizationChoice.INT8_QAT if self.is_trained else self


@dataclass(frozen=True)
class PruningGroup:
    """The parameters that must shrink together, named by the first of them."""

    name: str
    """Structured name of the master parameter, for example "blocks.0.conv1.weight"."""
    channels: int
    """Output channels of the unpruned group."""
    members: tuple[str, ...] = ()
    """Structured names of every parameter that shrinks with it."""
    unit: int = 1
    """Channels that can only be removed together; the group is pruned in multiples of it."""

    def __post_init__(self) -> None:
        if self.channels < 1 or self.unit < 1:
            raise ValueError(
                f"group {self.name} has {self.channels} channels in units of {self.unit}"
            )


@dataclass(frozen=True)
class Plan:
    """A decoded candidate. Hashable; equal plans have equal keys."""

    ratios: tuple[tuple[str, float], ...] = ()
    """(group, ratio) by group name, only groups that are pruned; 0 < ratio < 1."""
    quantization: QuantizationChoice = QuantizationChoice.FLOAT

    def __post_init__(self) -> None:
        for group, ratio in self.ratios:
            if not 0 < ratio < 1:
                raise ValueError(f"ratio {ratio} of {group} is not above 0 and below 1")
        if list(self.ratios) != sorted(self.ratios):
            raise ValueError("ratios are not sorted by group name; build plans with Plan.of")

    @classmethod
    def of(cls, ratios: Mapping[str, float], quantization: QuantizationChoice) -> Plan:
        """Return the plan with these ratios; groups at 0 are dropped."""
        rounded = sorted((group, round(ratio, 6)) for group, ratio in ratios.items())
        return cls(tuple(item for item in rounded if item[1] != 0), quantization)

    @property
    def is_pruned(self) -> bool:
        return bool(self.ratios)

    def ratio(self, group: str) -> float:
        """Return the ratio of a group, 0 if it is not pruned."""
        return dict(self.ratios).get(group, 0.0)

    def to_json(self) -> dict[str, Any]:
        return {"ratios": dict(self.ratios), "quantization": self.quantization.value}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Plan:
        return cls.of(value["ratios"], QuantizationChoice(value["quantization"]))

    @property
    def key(self) -> str:
        """16 hexadecimal digits, equal for equal plans in every process."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
