"""The engines by name. Reading this imports none of them, so the driver may."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from spaces.errors import ConfigError
from spaces.plan import Precision, QuantizationChoice

if TYPE_CHECKING:
    from pathlib import Path

    from trainables.deployment.engines.protocol import Engine, Runtime

EngineKind = Literal["onednn", "gpu", "tensorrt", "openvino", "onnxruntime"]


@dataclass(frozen=True)
class Listing:
    """What is known of a runtime without importing it."""

    where: str
    """Module of this package, and the runtime's name there."""
    precisions: tuple[Precision, ...]
    """Those that it has on some processor."""
    packages: tuple[str, ...] = ()
    """What it needs beside Paddle, all in the extra of the engine's name."""
    on_gpu: bool = False


LISTINGS: Mapping[EngineKind, Listing] = {
    "onednn": Listing("paddle_inference:ONEDNN", ("float", "bfloat16", "int8")),
    "gpu": Listing("paddle_inference:GPU", ("float",), on_gpu=True),
    "tensorrt": Listing("paddle_inference:TENSORRT", ("float", "int8"), on_gpu=True),
    "openvino": Listing("openvino:RUNTIME", ("float", "bfloat16", "int8"), ("openvino",)),
    "onnxruntime": Listing(
        "onnxruntime:RUNTIME", ("float", "int8"), ("onnxruntime", "onnx", "paddle2onnx")
    ),
}


def check_installed(kind: EngineKind) -> None:
    """Raise ConfigError if a package of an engine is not installed on this machine."""
    for package in LISTINGS[kind].packages:
        if importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"engine {kind} needs {package}, which is not installed; pip install "
                f'"slimsearch[{kind}]", or omit engine'
            )


def runtime(kind: EngineKind) -> Runtime:
    """Return the runtime of an engine. Raises ConfigError if it is not installed."""
    check_installed(kind)
    module, _, name = LISTINGS[kind].where.partition(":")
    found = getattr(importlib.import_module(f"{__package__}.{module}"), name)
    return cast("Runtime", found)


def load_engine(folder: Path, precision: Precision, threads: int, kind: EngineKind) -> Engine:
    """Return an exported model loaded by an engine's runtime."""
    return runtime(kind).load(folder, precision, threads)


def offered_choices(kind: EngineKind) -> tuple[QuantizationChoice, ...]:
    """Return the quantization choices that an engine offers on this machine."""
    precisions = runtime(kind).precisions()
    return tuple(choice for choice in QuantizationChoice if choice.precision in precisions)
