"""How today's tools choose a plan, from a command's arguments: one function a way."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

import spaces
from spaces.errors import ConfigError
from spaces.heuristics import (
    Sensitivities,
    equal_loss_threshold,
    flops_target,
    sensitive_throughout,
    uniform,
)
from spaces.layers import Layer, LayerCosts
from spaces.plan import Plan, QuantizationChoice
from spaces.space import Space

PRESETS = Path(spaces.__file__).parent / "presets"


@dataclass(frozen=True)
class Ground:
    """What a way has to choose on."""

    space: Space
    layers: Sequence[Layer]
    measure: Callable[[], Sensitivities]
    """Measures every group's sensitivity, or finds it in the cache."""
    say: Callable[[str], None]


def shipped() -> list[str]:
    """Return the names of the tables that come with the program."""
    return sorted(path.stem for path in PRESETS.glob("*.json"))


def read_sensitivities(name: str, space: Space) -> tuple[Sensitivities, str]:
    """Return the curves of a file `{"data": ..., "curves": {group: [[ratio, loss], ...]}}`, and
    what data they are of.

    `name` is its path, or that of a table that is shipped. Raises ConfigError if it cannot be
    read, or knows none of the model's groups.
    """
    path = PRESETS / f"{name}.json" if name in shipped() else Path(name)
    try:
        content = json.loads(path.read_text())
        curves = {
            str(group): [(float(ratio), float(loss)) for ratio, loss in curve]
            for group, curve in content["curves"].items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(
            f"sensitivities {path}: not a readable table ({error}); give a file written by "
            f"search.apply sensitivities, or one of {', '.join(shipped())}"
        ) from error
    if not any(group.name in curves for group in space.groups):
        raise ConfigError(
            f"sensitivities {path}: measured on another model ({content.get('data')}); "
            f"this one has groups such as {space.groups[0].name}"
        )
    return curves, str(content.get("data"))


def read_ratios(text: str, space: Space) -> Mapping[str, float]:
    """Return the ratios of "group=0.3,other=0.5", or of a YAML file of such a mapping.

    Raises ConfigError for a group that the model lacks, or a ratio that is none.
    """
    if Path(text).is_file():
        given = yaml.safe_load(Path(text).read_text())
    else:
        pairs = [part.partition("=") for part in text.split(",") if part.strip()]
        given = {name.strip(): value for name, _, value in pairs}
    if not isinstance(given, dict) or not given:
        raise ConfigError(f"--ratios {text!r}: write group=0.3,other=0.5, or name a YAML file")
    known = {group.name for group in space.groups}
    ratios = {}
    for name, value in given.items():
        if name not in known:
            raise ConfigError(
                f"--ratios: the model has no group {name!r}; search.apply groups lists those it has"
            )
        try:
            ratios[str(name)] = float(value)
        except (TypeError, ValueError):
            ratios[str(name)] = -1.0
        if not 0 <= ratios[str(name)] < 1:
            raise ConfigError(f"--ratios: {name} cannot be {value!r}; give 0 to below 1")
    return ratios


def uniform_way(given: Namespace, ground: Ground, choice: QuantizationChoice) -> Plan:
    return uniform(ground.space, given.ratio, choice)


def explicit_way(given: Namespace, ground: Ground, choice: QuantizationChoice) -> Plan:
    return Plan.of(read_ratios(given.ratios, ground.space), choice)


def _sensitivities(given: Namespace, ground: Ground) -> Sensitivities:
    if given.sensitivities is None:
        return ground.measure()
    curves, data = read_sensitivities(given.sensitivities, ground.space)
    ground.say(f"sensitivities measured on {data}")
    return curves


def threshold_way(given: Namespace, ground: Ground, choice: QuantizationChoice) -> Plan:
    return equal_loss_threshold(ground.space, _sensitivities(given, ground), given.loss, choice)


def flops_way(given: Namespace, ground: Ground, choice: QuantizationChoice) -> Plan:
    curves = _sensitivities(given, ground)
    first = {group.name for group in ground.space.groups[: given.skip_first]}
    return flops_target(
        ground.space,
        LayerCosts(ground.layers, ground.space.groups),
        curves,
        given.removed,
        choice,
        left_alone=first | sensitive_throughout(curves, given.sensitive),
    )


def quantize_way(given: Namespace, ground: Ground, choice: QuantizationChoice) -> Plan:
    return Plan.of({}, choice)


WAYS: dict[str, Callable[[Namespace, Ground, QuantizationChoice], Plan]] = {
    "uniform": uniform_way,
    "explicit": explicit_way,
    "threshold": threshold_way,
    "flops": flops_way,
    "quantize": quantize_way,
}
