"""A bounded reader of YAML, for settings, profiles and the toolkits' configurations.

PyYAML's safe loader runs no code, but a few hundred bytes can exhaust the memory (aliases of
aliases), overflow the stack (nesting), or raise one of a dozen exceptions (tags). This reader has
limits, and raises YamlError only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain
from typing import Any

import yaml


@dataclass(frozen=True)
class Limits:
    """Limits of a text. Of 1,738 YAML files in three toolkits' releases the largest has 6.8 kB and
    1,114 nodes, and the deepest 11 levels; the limits are several times that."""

    characters: int = 1_000_000
    nodes: int = 20_000
    """With all aliases expanded."""
    depth: int = 50
    integer_bits: int = 63
    """The largest integer of a table's column."""


LIMITS = Limits()


class YamlError(ValueError):
    """The text is not YAML of plain values; the message is one line."""


class _Loader(yaml.SafeLoader):
    """A safe loader of limited depth. A date stays the text that was written."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._depth += 1
        if self._depth > LIMITS.depth:
            raise YamlError(f"nested deeper than {LIMITS.depth}")
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_whole(self, node: Any) -> int:
        # Python refuses thousands of digits; 100 digits are more than the limit in any base.
        bits = LIMITS.integer_bits
        value: int = self.construct_yaml_int(node) if len(node.value) < 100 else 1 << bits
        if value.bit_length() > bits:
            raise YamlError(f"a whole number has more than {bits} bits")
        return value

    def construct_text(self, node: Any) -> str:
        text = str(self.construct_scalar(node))
        if "\0" in text:
            raise YamlError("a text has a zero byte, which no path or name may have")
        return text


class _NamedLoader(_Loader):
    """A loader that reads `!Kind {...}` as `{name: Kind, ...}`."""

    def construct_named(self, kind: str, node: Any) -> dict[Any, Any]:
        pairs = isinstance(node, yaml.MappingNode)
        return {"name": kind, **(self.construct_mapping(node, deep=True) if pairs else {})}


def _refuse(loader: Any, node: Any) -> None:
    raise YamlError(f"the tag {node.tag} is not for plain values; leave it out")


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_whole)
_Loader.add_constructor("tag:yaml.org,2002:str", _Loader.construct_text)
for _kind in ("timestamp", "value"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.construct_text)
for _kind in ("binary", "set", "omap", "pairs"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _refuse)
_NamedLoader.add_multi_constructor("!", _NamedLoader.construct_named)
# YAML 1.1, and so PyYAML, reads 1e-6, without a point, as text; YAML 1.2 as a number.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _measure(node: Any, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """Return the number of nodes below a node with aliases expanded, and their depth.

    Raises YamlError if they exceed the limits; nothing is expanded. `known` has the measured nodes,
    None for one that is being measured.
    """
    if isinstance(node, yaml.ScalarNode):
        return 1, 1
    if id(node) in known:
        found = known[id(node)]
        if found is None:
            raise YamlError("an alias refers to a value that contains it")
        return found
    known[id(node)] = None
    pairs = isinstance(node, yaml.MappingNode)
    children = chain.from_iterable(node.value) if pairs else node.value
    measured = [_measure(child, known) for child in children]
    size = 1 + sum(count for count, _ in measured)
    depth = 1 + max((deep for _, deep in measured), default=0)
    if size > LIMITS.nodes:
        raise YamlError(f"more than {LIMITS.nodes:,} values with all aliases expanded")
    if depth > LIMITS.depth:
        raise YamlError(f"nested deeper than {LIMITS.depth}")
    known[id(node)] = size, depth
    return size, depth


def read_yaml(text: str, named_tags: bool = False) -> Any:
    """Return the value of a YAML text: null, text, numbers, lists and mappings.

    With `named_tags`, a toolkit's `!Kind {...}` is a mapping with the `name` Kind. Raises
    YamlError, in one line, for anything else.
    """
    if len(text) > LIMITS.characters:
        raise YamlError(f"longer than {LIMITS.characters:,} characters")
    loader = None
    try:
        loader = (_NamedLoader if named_tags else _Loader)(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _measure(node, {})
        return loader.construct_document(node)
    except YamlError:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise YamlError(f"{place}{error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise YamlError(str(error).splitlines()[0]) from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # A tag's constructor raises these for a text of another type, as in "!!int x".
        raise YamlError(f"a value is not of its tag's type ({type(error).__name__})") from error
    finally:
        if loader is not None:
            loader.dispose()
