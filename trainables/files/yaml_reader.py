"""YAML of plain values: what settings, profiles and the toolkits' configurations are written in.

PyYAML's safe loader runs no code, but a text of a few hundred bytes can make it take all memory
(aliases of aliases), overflow the stack (nesting), or raise one of a dozen exceptions (tags). This
one is bounded and raises YamlError alone.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import Any

import yaml

# Of the 1,738 YAML files of three toolkits' releases the largest has 6.8 kB and 1,114 nodes, and
# the deepest is nested 11 deep; the bounds are several times that.
LARGEST = 1_000_000
MOST_NODES = 20_000
DEEPEST = 50
# Whole numbers of more bits cannot be written into the tables.
BITS = 63


class YamlError(ValueError):
    """A text that is not YAML of plain values; the message is one line."""


class _Loader(yaml.SafeLoader):
    """A safe loader of bounded depth. A date is the text that it was written as."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        self._depth += 1
        if self._depth > DEEPEST:
            raise YamlError(f"nested deeper than {DEEPEST}")
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_whole(self, node: Any) -> int:
        # Python refuses to read thousands of digits, and so many are no number of BITS.
        value: int = self.construct_yaml_int(node) if len(node.value) < 100 else 1 << BITS
        if value.bit_length() > BITS:
            raise YamlError(f"a whole number has more than {BITS} bits")
        return value

    def construct_text(self, node: Any) -> str:
        text = str(self.construct_scalar(node))
        if "\0" in text:
            raise YamlError("a text has a zero byte, which no path and no name may have")
        return text


class _NamedLoader(_Loader):
    """One that reads `!Kind {...}` as `{name: Kind, ...}`."""

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
# To YAML 1.1, and so to PyYAML, 1e-6 is a text for want of a point; YAML 1.2 has it a number.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def _measure(node: Any, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """Return how many nodes a node has with its aliases written out, and how deep they nest.

    Raises YamlError for more than the bounds, before anything is written out.
    """
    if isinstance(node, yaml.ScalarNode):
        return 1, 1
    if id(node) in known:
        found = known[id(node)]
        if found is None:
            raise YamlError("an alias stands for what it is part of")
        return found
    known[id(node)] = None
    pairs = isinstance(node, yaml.MappingNode)
    children = chain.from_iterable(node.value) if pairs else node.value
    measured = [_measure(child, known) for child in children]
    size = 1 + sum(count for count, _ in measured)
    depth = 1 + max((deep for _, deep in measured), default=0)
    if size > MOST_NODES:
        raise YamlError(f"more than {MOST_NODES:,} values with all aliases written out")
    if depth > DEEPEST:
        raise YamlError(f"nested deeper than {DEEPEST}")
    known[id(node)] = size, depth
    return size, depth


def read_yaml(text: str, named_tags: bool = False) -> Any:
    """Return the plain value that a YAML text holds: null, text, numbers, lists and mappings.

    With `named_tags`, a toolkit's own `!Kind {...}` is a mapping with the `name` Kind.
    Raises YamlError, in one line, for anything else.
    """
    if len(text) > LARGEST:
        raise YamlError(f"longer than {LARGEST:,} characters")
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
        # What a tag's constructor raises for a text that is none of its kind, as in "!!int x".
        raise YamlError(f"a value is not what its tag says ({type(error).__name__})") from error
    finally:
        if loader is not None:
            loader.dispose()
