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

EngineKind = Literal["onednn", "gpu", "tensorrt", "openvino"]


@dataclass(frozen=True)
class Listing:
    """What is known of a runtime without importing it."""

    where: str
    """Module of this package, and the runtime's name there."""
    precisions: tuple[Precision, ...]
    """Those that it has on some processor."""
    package: str | None = None
    """Package that it is in, and name of the extra that installs it; None: Paddle's own."""
    on_gpu: bool = False

    def check_installed(self) -> None:
        """Raise ConfigError if the package is not installed on this machine."""
        if self.package is not None and importlib.util.find_spec(self.package) is None:
            raise ConfigError(
                f"engine {self.package} is not installed; pip install "
                f'"slimsearch[{self.package}]", or omit engine'
            )


LISTINGS: Mapping[EngineKind, Listing] = {
    "onednn": Listing("paddle_inference:ONEDNN", ("float", "bfloat16", "int8")),
    "gpu": Listing("paddle_inference:GPU", ("float",), on_gpu=True),
    "tensorrt": Listing("paddle_inference:TENSORRT", ("float", "int8"), on_gpu=True),
    "openvino": Listing("openvino:RUNTIME", ("float", "bfloat16", "int8"), "openvino"),
}


def runtime(kind: EngineKind) -> Runtime:
    """Return the runtime of an engine. Raises ConfigError if it is not installed."""
    listing = LISTINGS[kind]
    listing.check_installed()
    module, _, name = listing.where.partition(":")
    found = getattr(importlib.import_module(f"{__package__}.{module}"), name)
    return cast("Runtime", found)


def load_engine(folder: Path, precision: Precision, threads: int, kind: EngineKind) -> Engine:
    """Return an exported model loaded by an engine's runtime."""
    return runtime(kind).load(folder, precision, threads)


def offered_choices(kind: EngineKind) -> tuple[QuantizationChoice, ...]:
    """Return the quantization choices that an engine offers on this machine."""
    precisions = runtime(kind).precisions()
    return tuple(choice for choice in QuantizationChoice if choice.precision in precisions)
