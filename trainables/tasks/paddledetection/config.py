"""PaddleDetection's configuration files, read as the toolkit reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from spaces.errors import TaskError, one_line
from trainables.files.yaml_reader import YamlError, read_yaml

BASES = "_BASE_"


def included_files(
    file: Path, including: tuple[Path, ...] = ()
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield every file that a configuration includes by `_BASE_`, then itself, with its settings.

    Raises TaskError for a file that is missing, is not YAML, includes itself or creates Python
    objects: the toolkit's loader would run their code.
    """
    origin = f" (included by {including[-1]})" if including else ""
    if file in including:
        raise TaskError(f"config_file {file} includes itself{origin}; remove it from {BASES}")
    try:
        settings = read_yaml(file.read_text(encoding="utf-8"), named_tags=True)
    except OSError as error:
        raise TaskError(
            f"config_file {file}{origin} is missing ({error.strerror}); name a PaddleDetection file"
        ) from error
    except (YamlError, UnicodeDecodeError) as error:
        raise TaskError(f"config_file {file}{origin} is not YAML ({error}); correct it") from error
    if not isinstance(settings, dict):
        raise TaskError(f"config_file {file}{origin} is not a mapping of settings; name another")
    for base in settings.pop(BASES, None) or []:
        yield from included_files(file.parent / Path(str(base)).expanduser(), (*including, file))
    yield file, settings


def plain_settings(file: Path) -> dict[str, Any]:
    """Return the merged settings of a configuration and its `_BASE_` files, without the toolkit."""
    settings: dict[str, Any] = {}
    for _, part in included_files(file):
        _merge(settings, part)
    return settings


def _merge(settings: dict[str, Any], more: Mapping[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(settings.get(key), dict):
            _merge(settings[key], value)
        else:
            settings[key] = value


@cache
def _registered() -> dict[str, type]:
    """Return the toolkit's classes by their names in configurations."""
    import ppdet.data
    import ppdet.modeling  # noqa: F401  registers the classes
    from ppdet.core.config.schema import SchemaDict
    from ppdet.core.workspace import global_config

    return {
        name: getattr(entry.pymodule, name)
        for name, entry in global_config.items()
        if isinstance(entry, SchemaDict)
    }


def read_detection_config(file: Path) -> dict[str, Any]:
    """Return a configuration with its `_BASE_` files and the toolkit's defaults.

    The toolkit merges each file into one configuration of the process, which is reset first.
    Nothing is downloaded: weights come from `--weights`.
    """
    for _ in included_files(file):
        pass
    try:
        registered = _registered()
        from ppdet.core.config.schema import extract_schema
        from ppdet.core.workspace import global_config, load_config
    except ImportError as error:
        raise TaskError(
            f"task 'paddledetection' needs PaddleDetection ({one_line(error)}); install it "
            "with pip install --no-deps -r toolkits.txt"
        ) from error
    global_config.clear()
    global_config.update({name: extract_schema(kind) for name, kind in registered.items()})
    try:
        config = dict(load_config(str(file)))
    except Exception as error:  # The toolkit raises errors of many kinds.
        raise TaskError(f"config_file {file}: {one_line(error)}; correct it") from error
    for part in config.values():
        # The URL from which a backbone's constructor would download.
        if isinstance(part, dict) and part.get("pretrained"):
            part["pretrained"] = None
    return config


def activate(config: Mapping[str, Any]) -> None:
    """Set the configuration from which the toolkit's `create` builds."""
    from ppdet.core.workspace import global_config

    global_config.clear()
    global_config.update(config)


def dataset_of(config: Mapping[str, Any], key: str) -> Any:
    """Return the toolkit's data set object, not yet read, from `!COCODataSet {...}` or
    `name: COCODataSet`; None if the configuration names none."""
    import ppdet.data.source as source

    entry = config.get(key)
    if not isinstance(entry, dict):
        return entry
    options = dict(entry)
    kind = options.pop("name", None)
    if kind is None:
        return None
    try:
        return getattr(source, str(kind))(**options)
    except Exception as error:
        raise TaskError(f"{key}: {kind} cannot be built ({one_line(error)}); correct it") from error
