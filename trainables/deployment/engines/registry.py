"""The engines by name. Reading this imports none of them, so the driver may."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, cast

from spaces.errors import ConfigError
from spaces.plan import Precision, QuantizationChoice

if TYPE_CHECKING:
    from pathlib import Path

    from trainables.deployment.engines.protocol import Engine, Runtime

LocalKind = Literal["onednn", "gpu", "tensorrt", "openvino", "onnxruntime"]
"""Engines that run models in this process."""
EngineKind = Literal[LocalKind, "command", "auto"]
"""`auto` is the fastest one; a study replaces it before anything is exported."""


class EngineName(Protocol):
    """Which engine the settings of a study name (trainables/settings.py)."""

    @property
    def engine(self) -> EngineKind: ...

    @property
    def evaluated_by(self) -> LocalKind: ...


class EngineSettings(EngineName, Protocol):
    """What the settings of a study's workers say of its engine."""

    @property
    def threads(self) -> int: ...

    @property
    def probe_command(self) -> str | None: ...

    @property
    def probe_timeout_s(self) -> float: ...

    @property
    def latency_batch(self) -> int: ...

    @property
    def eval_batch(self) -> int: ...

    @property
    def cache(self) -> Path: ...


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


LISTINGS: Mapping[LocalKind, Listing] = {
    "onednn": Listing("paddle_inference:ONEDNN", ("float", "bfloat16", "int8")),
    "gpu": Listing("paddle_inference:GPU", ("float", "float16", "bfloat16"), on_gpu=True),
    "tensorrt": Listing("paddle_inference:TENSORRT", ("float", "float16", "int8"), on_gpu=True),
    "openvino": Listing("openvino:RUNTIME", ("float", "bfloat16", "int8"), ("openvino",)),
    "onnxruntime": Listing(
        "onnxruntime:RUNTIME", ("float", "int8"), ("onnxruntime", "onnx", "paddle2onnx")
    ),
}


def check_installed(kind: LocalKind) -> None:
    """Raise ConfigError if a package of an engine is not installed on this machine."""
    for package in _missing(kind):
        raise ConfigError(
            f"engine {kind} needs {package}, which is not installed; pip install "
            f'"slimsearch[{kind}]", or omit engine'
        )


def _missing(kind: LocalKind) -> list[str]:
    return [name for name in LISTINGS[kind].packages if importlib.util.find_spec(name) is None]


def installed() -> tuple[LocalKind, ...]:
    """Return the engines of this machine's processor, Paddle Inference first."""
    here = (kind for kind, listing in LISTINGS.items() if not listing.on_gpu)
    return tuple(kind for kind in here if not _missing(kind))


def listing_of(settings: EngineName) -> Listing:
    """Return the listing of the engine that a study's models are run by, or evaluated by."""
    return LISTINGS[settings.evaluated_by]


def runtime(kind: LocalKind) -> Runtime:
    """Return the runtime of an engine. Raises ConfigError if it is not installed."""
    check_installed(kind)
    module, _, name = LISTINGS[kind].where.partition(":")
    found = getattr(importlib.import_module(f"{__package__}.{module}"), name)
    return cast("Runtime", found)


def chosen_runtime(settings: EngineSettings) -> Runtime:
    """Return the runtime that a study's settings choose."""
    local = runtime(settings.evaluated_by)
    if settings.evaluated_by == "tensorrt":
        from trainables.deployment.engines.paddle_inference import tensorrt_in

        largest = max(settings.latency_batch, settings.eval_batch)
        local = tensorrt_in(settings.cache, settings.latency_batch, largest)
    if settings.engine != "command":
        return local
    from trainables.deployment.engines.command import Command

    return Command(settings.probe_command or "", settings.probe_timeout_s, local)


def load_engine(folder: Path, precision: Precision, settings: EngineSettings) -> Engine:
    """Return an exported model loaded by the chosen runtime."""
    return chosen_runtime(settings).load(folder, precision, settings.threads)


def offered_choices(settings: EngineSettings) -> tuple[QuantizationChoice, ...]:
    """Return the quantization choices that the chosen engine offers on this machine."""
    precisions = chosen_runtime(settings).precisions()
    return tuple(choice for choice in QuantizationChoice if choice.precision in precisions)
