"""Which networks of PaddleOCR can be searched: their components and those components' keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from spaces.errors import TaskError
from trainables.remarks import remark
from trainables.tasks.config_file import section

Kind = Literal["det", "rec"]


class Component(NamedTuple):
    name: str
    keys: tuple[str, ...]
    """Supported keys: any other changes the network."""


BACKBONE_KEYS = ("name", "scale", "model_name", "disable_se", "in_channels", "pretrained")
COMPONENTS: Mapping[Kind, Mapping[str, Component]] = {
    "det": {
        "Backbone": Component("MobileNetV3", BACKBONE_KEYS),
        "Neck": Component("DBFPN", ("name", "out_channels")),
        "Head": Component("DBHead", ("name", "k", "fix_nan")),
    },
    "rec": {
        "Backbone": Component("MobileNetV3", (*BACKBONE_KEYS, "large_stride", "small_stride")),
        "Neck": Component("SequenceEncoder", ("name", "encoder_type", "hidden_size")),
        "Head": Component("CTCHead", ("name", "fc_decay", "mid_channels")),
    },
}


def kind_of(config: Mapping[str, Any], file: str) -> Kind:
    """Return whether a configuration is of a detector (det) or of a recogniser (rec) of text.

    Raises TaskError for another kind of model. Of a distillation the student says it, or the whole.
    """
    architecture = section(config, "Architecture")
    student = section(architecture, "Models", "Student")
    named = student.get("model_type") or architecture.get("model_type") or "det"
    if named == "det":
        return "det"
    if named != "rec":
        raise TaskError(
            f"config_file {file}: model_type {named!r} cannot be searched; det and rec can"
        )
    return "rec"


def searched_architecture(config: Mapping[str, Any], file: str, kind: Kind) -> dict[str, Any]:
    """Return the searched network's components; of a distillation, its student's.

    Raises TaskError for a network that is not supported.
    """
    architecture = section(config, "Architecture")
    if "Models" in architecture:
        models = section(architecture, "Models")
        if not isinstance(models.get("Student"), Mapping):
            raise TaskError(
                f"config_file {file}: Models has no 'Student' to search; it names "
                f"{', '.join(models) or 'none'}"
            )
        architecture = section(models, "Student")
        remark("of the distillation, Student is searched, and trained on the labels alone")
    if architecture.get("Transform"):
        name = section(architecture, "Transform").get("name")
        raise TaskError(f"config_file {file}: Transform {name!r} cannot be searched; none can")
    for component, (name, keys) in COMPONENTS[kind].items():
        given = section(architecture, component)
        if given.get("name") != name:
            raise TaskError(
                f"config_file {file}: {component} {given.get('name')!r} cannot be searched; "
                f"{name} can"
            )
        for key in given:
            if key not in keys:
                raise TaskError(
                    f"config_file {file}: {component} {name}: key {key!r} is not supported; "
                    f"{', '.join(keys)} are"
                )
    return architecture
