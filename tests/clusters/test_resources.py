"""Requests, shortages and nodes in words, without a Ray."""

import pytest

from clusters import resources as resources_module
from clusters.resources import LiveNode, Nodes, in_words, live_nodes

SMALL = {"CPU": 2.0, "memory": 8e9, "node:1": 1.0}
LARGE = {"CPU": 8.0, "GPU": 1.0, "memory": 32e9}
NODES = Nodes((SMALL, LARGE), (SMALL, {**LARGE, "CPU": 0.0}))


@pytest.mark.parametrize(
    "resources, words",
    [
        ({"CPU": 1}, "1 core"),
        ({"CPU": 2, "GPU": 0}, "2 cores"),
        ({"CPU": 3, "GPU": 0.5, "memory": 4e9, "fast": 0.001}, "3 cores, 0.5 GPUs, 4.0 GB and"),
        ({}, "nothing"),
    ],
)
def test_resources_in_words(resources, words):
    assert in_words(resources).startswith(words)


@pytest.mark.parametrize(
    "asked, pieces, words",
    [
        ({"CPU": 8}, 1, None),
        ({"CPU": 9}, 1, "no node has 9 cores; the largest has 8 cores, 1 GPU and 32.0 GB"),
        ({"CPU": 4, "GPU": 2}, 1, "no node has 4 cores and 2 GPUs; the largest has 8 cores, 1 GPU"),
        ({"memory": 1e12}, 1, "no node has 1000.0 GB; the largest has 8 cores, 1 GPU and 32.0 GB"),
        ({"CPU": 1, "fast": 0.001}, 1, "no node has 1 core and 0.001 fast; the largest has 8"),
        ({"CPU": 1}, 10, None),
        ({"CPU": 4}, 3, "all nodes have room for 2 of 3 workers that take 4 cores each"),
    ],
)
def test_what_is_missing_is_named_beside_what_the_largest_node_has(asked, pieces, words):
    missing = NODES.shortage(asked, pieces)
    assert missing is None if words is None else missing.startswith(words)


def test_a_cluster_without_nodes_has_nothing():
    assert Nodes((), ()).shortage({"CPU": 1}) == (
        "no node has 1 core; the largest has 0 cores, 0 GPUs and 0.0 GB"
    )


def test_only_nodes_that_are_alive_count_and_each_has_its_own_free_resources(monkeypatch):
    def node(identity, alive):
        return {
            "NodeID": identity,
            "NodeManagerHostname": f"host-{identity}",
            "Alive": alive,
            "Resources": {"CPU": 4.0},
        }

    found = [node("a", True), node("b", False), node("c", True)]
    monkeypatch.setattr(resources_module.ray, "nodes", lambda: found)
    monkeypatch.setattr(
        resources_module, "free_resources", lambda: {"c": {"CPU": 1.0}, "b": {"CPU": 4.0}}
    )
    assert live_nodes() == [LiveNode(name, f"host-{name}", {"CPU": 4.0}) for name in "ac"]
    nodes = Nodes.now()
    assert nodes.capacity({"CPU": 4}) == 2
    assert nodes.is_full({"CPU": 2}) and not nodes.is_full({"CPU": 1})
