"""How today's tools choose a plan from a command's arguments: a function for each subcommand."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spaces
from spaces.branches import canonical, enclosing
from spaces.errors import VALUE, ConfigError, did_you_mean, one_line, short, shown
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
from trainables.files.yaml_reader import YamlError, read_yaml

# Greatest length of the names of layers in an error. A guess.
LISTED = 160

PRESETS = Path(spaces.__file__).parent / "presets"


@dataclass(frozen=True)
class Ground:
    """The model that a plan is chosen for."""

    space: Space
    layers: Sequence[Layer]
    measure: Callable[[], Sensitivities]
    """Measure every group's sensitivity, or read it from the cache."""
    say: Callable[[str], None]


def shipped() -> list[str]:
    """Return the names of the tables that come with this program."""
    return sorted(path.stem for path in PRESETS.glob("*.json"))


def read_sensitivities(name: str, space: Space) -> tuple[Sensitivities, str]:
    """Return the curves of `parse_sensitivities`, and the data they were measured on.

    Raises ConfigError if the file cannot be read, or has none of the model's groups.
    """
    curves, data = parse_sensitivities(name)
    if not any(group.name in curves for group in space.groups):
        raise ConfigError(
            f"sensitivities {name}: measured on another model ({short(data, VALUE)}); "
            f"this one has groups such as {space.groups[0].name}"
        )
    return curves, data


def parse_sensitivities(name: str) -> tuple[Sensitivities, str]:
    """Return the curves of a file `{"data": ..., "curves": {group: [[ratio, loss], ...]}}`, and
    the data they were measured on.

    `name` is its path, or the name of a shipped table. Raises ConfigError if it cannot be read.
    """
    path = PRESETS / f"{name}.json" if name in shipped() else Path(name)
    try:
        content = json.loads(path.read_text())
        curves = {
            str(group): [(float(ratio), float(loss)) for ratio, loss in curve]
            for group, curve in content["curves"].items()
        }
    except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ConfigError(
            f"sensitivities {name}: not a readable table ({one_line(error, 90)}); give a file "
            f"written by search.apply sensitivities, or one of {', '.join(shipped())}"
        ) from error
    return curves, str(content.get("data"))


def parse_ratios(text: str) -> Mapping[str, Any]:
    """Return the values by group of "group=0.3,other=0.5", or of a YAML file with such a mapping.

    Raises ConfigError if the text is neither.
    """
    help_ = "write group=0.3,other=0.5, or name a YAML file of such a mapping"
    if "=" in text:
        pairs = [part.partition("=") for part in text.split(",") if part.strip()]
        return {name.strip(): value for name, _, value in pairs}
    try:
        given = read_yaml(Path(text).read_text())
    except (OSError, UnicodeDecodeError, YamlError) as error:
        raise ConfigError(f"--ratios {shown(text)}: {one_line(error)}; {help_}") from error
    if not isinstance(given, dict) or not given:
        raise ConfigError(f"--ratios {shown(text)}: has no groups; {help_}")
    return given


def read_ratios(text: str, space: Space) -> Mapping[str, float]:
    """Return the ratios of `parse_ratios`.

    Raises ConfigError for a group that the model lacks, or a ratio out of bounds.
    """
    given = parse_ratios(text)
    known = {group.name: group for group in space.groups}
    ratios = {}
    for name, value in given.items():
        if name not in known:
            raise ConfigError(
                f"--ratios: the model has no group {shown(name)}"
                f"{did_you_mean(str(name), known) or ';'} search.apply groups lists them"
            )
        try:
            ratios[str(name)] = float(value)
        except (TypeError, ValueError):
            ratios[str(name)] = -1.0
        branch = known[name].is_branch
        if not (ratios[str(name)] in (0, 1) if branch else 0 <= ratios[str(name)] < 1):
            allowed = "0 or 1, it is a branch" if branch else "0 to below 1"
            raise ConfigError(f"--ratios: {name} cannot be {shown(value)}; give {allowed}")
    return canonical(ratios, enclosing(space.groups))


def check_given(given: Namespace) -> None:
    """Raise ConfigError for a file that a plan needs and that cannot be read, or for layers that
    would stay in float in a precision of one kind."""
    if given.chosen_by == "explicit":
        parse_ratios(given.ratios)
    if getattr(given, "sensitivities", None) is not None:
        parse_sensitivities(given.sensitivities)
    if getattr(given, "auto", False):
        _check_auto(given)
    elif getattr(given, "budget", None) is not None:
        raise ConfigError("--budget: only --auto keeps one; add --auto, or omit it")
    if getattr(given, "float_layers", None) and given.quantization != QuantizationChoice.INT8_PTQ:
        raise ConfigError(
            f"--float-layers: {given.quantization} has one precision for all layers; give "
            "--quantization int8_ptq, or omit one of both"
        )


def _check_auto(given: Namespace) -> None:
    if given.budget is None:
        raise ConfigError("--auto: needs the loss that is allowed; add for example --budget 0.01")
    if given.float_layers is not None:
        raise ConfigError("--auto: chooses the layers in float; omit it, or --float-layers")
    if given.quantization != QuantizationChoice.INT8_PTQ:
        raise ConfigError(
            f"--auto: {given.quantization} has one precision for all layers; omit --quantization"
        )


def choose_uniform(given: Namespace, ground: Ground, choice: QuantizationChoice) -> Plan:
    return uniform(ground.space, given.ratio, choice)


def choose_explicit(given: Namespace, ground: Ground, choice: QuantizationChoice) -> Plan:
    return Plan.of(read_ratios(given.ratios, ground.space), choice)


def _sensitivities(given: Namespace, ground: Ground) -> Sensitivities:
    if given.sensitivities is None:
        return ground.measure()
    curves, data = read_sensitivities(given.sensitivities, ground.space)
    ground.say(f"sensitivities measured on {data}")
    return curves


def choose_threshold(given: Namespace, ground: Ground, choice: QuantizationChoice) -> Plan:
    return equal_loss_threshold(ground.space, _sensitivities(given, ground), given.loss, choice)


def choose_flops(given: Namespace, ground: Ground, choice: QuantizationChoice) -> Plan:
    curves = _sensitivities(given, ground)
    first = {group.name for group in ground.space.groups[: given.skip_first]}
    return flops_target(
        ground.space,
        LayerCosts(ground.layers, ground.space.groups),
        curves,
        given.removed,
        choice,
        excluded=first | sensitive_throughout(curves, given.sensitive),
    )


def read_float_layers(text: str | None, layers: Sequence[Layer]) -> tuple[str, ...]:
    """Return the layers that a list names, by the layer's name or its weight's.

    Raises ConfigError for a layer that the model lacks.
    """
    known = [layer.name for layer in layers]
    names = [part.strip().removesuffix(".weight") for part in (text or "").split(",")]
    for name in filter(None, names):
        if name not in known:
            nearest = did_you_mean(name, known)
            advice = nearest or f"; it has {short(', '.join(known), LISTED)}"
            raise ConfigError(f"--float-layers: the model has no layer {shown(name)}{advice}")
    return tuple(filter(None, names))


def choose_quantize(given: Namespace, ground: Ground, choice: QuantizationChoice) -> Plan:
    return Plan.of({}, choice, read_float_layers(given.float_layers, ground.layers))


CHOICES: dict[str, Callable[[Namespace, Ground, QuantizationChoice], Plan]] = {
    "uniform": choose_uniform,
    "explicit": choose_explicit,
    "threshold": choose_threshold,
    "flops": choose_flops,
    "quantize": choose_quantize,
}
