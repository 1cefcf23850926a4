"""A plan: the ratio of each pruning group and branch, and the precision."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

Precision = Literal["float", "float16", "bfloat16", "int8"]
ImportanceCriterion = Literal["l1_norm", "l2_norm", "geometric_median", "batch_norm_scale"]
CalibrationAlgorithm = Literal["abs_max", "avg", "hist", "KL", "mse", "emd"]


class QuantizationChoice(str, Enum):
    """The precision a model is deployed in, and how it is quantized."""

    FLOAT = "float"
    FLOAT16 = "float16"
    """Half precision, on GPUs alone."""
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
        unquantized: dict[QuantizationChoice, Precision] = {
            QuantizationChoice.FLOAT: "float",
            QuantizationChoice.FLOAT16: "float16",
            QuantizationChoice.BFLOAT16: "bfloat16",
        }
        return unquantized.get(self, "int8")

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
class MixedInt8:
    """INT8 after training in all layers but some, which stay in float."""

    float_layers: tuple[str, ...]
    """Their names, sorted."""

    @property
    def value(self) -> str:
        """A short name, with the number of layers in float."""
        return f"{QuantizationChoice.INT8_PTQ.value}+{len(self.float_layers)}"

    @property
    def precision(self) -> Precision:
        """The precision of all other layers."""
        return "int8"

    @property
    def is_trained(self) -> bool:
        """Whether the quantized model is trained: no."""
        return False

    @property
    def timed_as(self) -> MixedInt8:
        """Itself: no other mixture has its latency."""
        return self


Precisions = QuantizationChoice | MixedInt8
"""The precisions of a model's layers: one choice for all, or a mixture."""


ON_CPU = tuple(choice for choice in QuantizationChoice if choice.precision != "float16")
"""The choices that engines of CPUs have."""


@dataclass(frozen=True)
class PruningGroup:
    """The parameters that must shrink together, named by the first of them; or a branch.

    A branch is a part of the network without which the model still computes, such as the branch of
    a residual block. It is an item of the plan like a group, of one channel: its ratio is 0, or 1
    if it is removed.
    """

    name: str
    """Structured name of the master parameter, for example "blocks.0.conv1.weight"; of a branch,
    that of the sublayer whose output is cut."""
    channels: int
    """Output channels of the unpruned group, 1 of a branch."""
    members: tuple[str, ...] = ()
    """Structured names of every parameter that shrinks with it."""
    unit: int = 1
    """Channels that can only be removed together; the group is pruned in multiples of it."""
    inside: tuple[str, ...] = ()
    """Names of the branches that this group or branch lies in: nothing of it is left if one of
    them is removed."""
    is_branch: bool = False

    def __post_init__(self) -> None:
        if self.channels < 1 or self.unit < 1:
            raise ValueError(
                f"group {self.name} has {self.channels} channels in units of {self.unit}"
            )
        if self.is_branch and (self.channels, self.unit) != (1, 1):
            raise ValueError(
                f"branch {self.name} has {self.channels} channels in units of {self.unit}, not 1 "
                "and 1"
            )


@dataclass(frozen=True)
class Plan:
    """A decoded candidate. Hashable; equal plans have equal keys."""

    ratios: tuple[tuple[str, float], ...] = ()
    """(group, ratio) by group name, only groups that are pruned; 0 < ratio <= 1.

    1 is for branches alone; `Space` refuses it for a group. What lies inside a removed branch has
    no entry, so that equal models have equal keys.
    """
    quantization: QuantizationChoice = QuantizationChoice.FLOAT
    float_layers: tuple[str, ...] = ()
    """Names of the layers that stay in float though the others are quantized after training,
    sorted."""

    def __post_init__(self) -> None:
        if list(self.float_layers) != sorted(set(self.float_layers)):
            raise ValueError("float layers are not sorted; build plans with Plan.of")
        if self.float_layers and self.quantization is not QuantizationChoice.INT8_PTQ:
            raise ValueError(
                f"layers stay in float in int8_ptq alone, not {self.quantization.value}"
            )
        for group, ratio in self.ratios:
            if not 0 < ratio <= 1:
                raise ValueError(f"ratio {ratio} of {group} is not above 0 and at most 1")
        if list(self.ratios) != sorted(self.ratios):
            raise ValueError("ratios are not sorted by group name; build plans with Plan.of")

    @classmethod
    def of(
        cls,
        ratios: Mapping[str, float],
        quantization: Precisions,
        float_layers: Iterable[str] = (),
    ) -> Plan:
        """Return the plan with these ratios; groups at 0 are dropped."""
        if isinstance(quantization, MixedInt8):
            float_layers = quantization.float_layers
            quantization = QuantizationChoice.INT8_PTQ
        rounded = sorted((group, round(float(ratio), 6)) for group, ratio in ratios.items())
        pruned = tuple(item for item in rounded if item[1] != 0)
        return cls(pruned, quantization, tuple(sorted(set(float_layers))))

    @property
    def precisions(self) -> Precisions:
        """The precisions of its layers."""
        return MixedInt8(self.float_layers) if self.float_layers else self.quantization

    @property
    def is_pruned(self) -> bool:
        return bool(self.ratios)

    @property
    def removed(self) -> tuple[str, ...]:
        """The names of the branches that are taken out."""
        return tuple(name for name, ratio in self.ratios if ratio == 1)

    def ratio(self, group: str) -> float:
        """Return the ratio of a group, 0 if it is not pruned."""
        return dict(self.ratios).get(group, 0.0)

    def to_json(self) -> dict[str, Any]:
        plain = {"ratios": dict(self.ratios), "quantization": self.quantization.value}
        # Without it the keys of plans of one precision are those of earlier runs.
        return {**plain, "float_layers": [*self.float_layers]} if self.float_layers else plain

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Plan:
        kept = value.get("float_layers", ())
        return cls.of(value["ratios"], QuantizationChoice(value["quantization"]), kept)

    @property
    def key(self) -> str:
        """16 hexadecimal digits, equal for equal plans in every process."""
        text = json.dumps(self.to_json(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
