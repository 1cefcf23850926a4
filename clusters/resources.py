"""What work asks of a node, what the nodes have, and both in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ray

from clusters.ray_quirks import free_resources

Resources = Mapping[str, float]
"""Amounts by Ray's names: "CPU", "GPU", "memory" in bytes, and the user's own resources."""

# Of a resource that only marks nodes: a thousand tasks fit on each.
MARKER_AMOUNT = 0.001
# Singular and plural of what Ray counts on every node; other resources go by their own names.
UNITS = {"CPU": ("core", "cores"), "GPU": ("GPU", "GPUs")}


def _amount(name: str, value: float) -> str:
    if name == "memory":
        return f"{value / 1e9:.1f} GB"
    one, many = UNITS.get(name, (name, name))
    return f"{value:g} {one if value == 1 else many}"


def in_words(resources: Resources) -> str:
    """Return for example "2 cores and 1 GPU"."""
    parts = [_amount(name, value) for name, value in resources.items() if value > 0]
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:]))) or "nothing"


def fits(asked: Resources, has: Resources) -> bool:
    return all(value <= has.get(name, 0.0) for name, value in asked.items())


@dataclass(frozen=True)
class LiveNode:
    """A node of the cluster."""

    identity: str
    host: str
    resources: Resources


def live_nodes() -> list[LiveNode]:
    """Return the nodes that are alive. Ray must be connected."""
    return [
        LiveNode(node["NodeID"], node["NodeManagerHostname"], node["Resources"])
        for node in ray.nodes()
        if node["Alive"]
    ]


@dataclass(frozen=True)
class Nodes:
    """What the nodes that are alive have, and what of it is free."""

    totals: Sequence[Resources]
    free: Sequence[Resources]

    @classmethod
    def now(cls) -> Nodes:
        """Ask Ray, which must be connected."""
        nodes, free = live_nodes(), free_resources()
        return cls([node.resources for node in nodes], [free.get(n.identity, {}) for n in nodes])

    def largest(self, asked: Resources) -> str:
        """Return what the largest node has of the resources asked for, in words."""
        names = dict.fromkeys(("CPU", "GPU", "memory", *asked))
        best = max(
            self.totals,
            key=lambda has: (
                sum(fits({name: asked[name]}, has) for name in asked),
                has.get("CPU", 0.0),
                has.get("GPU", 0.0),
                has.get("memory", 0.0),
            ),
            default={},
        )
        parts = [_amount(name, best.get(name, 0.0)) for name in names]
        return f"{', '.join(parts[:-1])} and {parts[-1]}"

    def capacity(self, asked: Resources) -> int:
        """Return how many pieces of work with this request run at once on idle nodes."""
        count = 0
        for has in self.totals:
            shares = [has.get(name, 0.0) / value for name, value in asked.items() if value > 0]
            count += int(min(shares, default=0.0))
        return count

    def shortage(self, asked: Resources, pieces: int = 1) -> str | None:
        """Return why the nodes can never run this many pieces of work at once; None if they can."""
        if self.capacity(asked) == 0:
            return f"no node has {in_words(asked)}; the largest has {self.largest(asked)}"
        if self.capacity(asked) < pieces:
            return (
                f"all nodes have room for {self.capacity(asked)} of {pieces} workers that take "
                f"{in_words(asked)} each; the largest has {self.largest(asked)}"
            )
        return None

    def is_full(self, asked: Resources) -> bool:
        """Return whether no node has this request free; the work itself may be what fills them."""
        return not any(fits(asked, free) for free in self.free)
