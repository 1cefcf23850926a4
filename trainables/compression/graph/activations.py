"""What activations make of one number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from trainables.compression.graph.tracing import Operator

# Values tried as what a scale's last layer returns, so that the scale is 1: the first without an
# activation, the others for sigmoids, which are 1 in float32 from 17 on.
CONSTANTS = (1.0, 3.0, 20.0)


def through(value: float, operators: Sequence[Operator]) -> float | None:
    """Return what activations make of a number; None if one is not known."""
    for operator in operators:
        attributes: Mapping[str, float] = operator.attributes
        match operator.type:
            case "sigmoid":
                value = 1.0 if value > 17 else 1 / (1 + math.exp(-value))
            case "hard_sigmoid":
                value = min(1.0, max(0.0, attributes["slope"] * value + attributes["offset"]))
            case "relu6":
                value = min(6.0, max(0.0, value))
            case "clip":
                value = min(attributes["max"], max(attributes["min"], value))
            case "scale":
                scale, bias = attributes["scale"], attributes["bias"]
                after = attributes.get("bias_after_scale", True)
                value = value * scale + bias if after else (value + bias) * scale
            case "tanh":
                value = math.tanh(value)
            case "relu" | "unsqueeze2" | "reshape2" | "squeeze2" | "assign" | "dropout":
                value = max(0.0, value) if operator.type == "relu" else value
            case _:
                return None
    # As float32 has it.
    return round(value, 6)
