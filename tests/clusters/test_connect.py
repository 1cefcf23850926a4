"""Clusters that cannot be reached or started."""

import re

import pytest
import ray

from clusters.connect import connected
from spaces.errors import ConfigError

TIMED_OUT = "The current node timed out during startup. This could happen because ..."
LOCAL = rf"a local Ray does not start \(.*{re.escape(TIMED_OUT)}\); start again when .*"
THERE = rf"cluster 127.0.0.1:1: cannot connect \(.*{re.escape(TIMED_OUT)}\); start Ray there, .*"


@pytest.mark.parametrize(
    ("address", "said"),
    [(None, LOCAL), ("local", LOCAL), ("127.0.0.1:1", THERE)],
)
def test_what_ray_raises_bare_is_one_line(address, said, monkeypatch):
    # On a loaded machine: Ray gives its node 30 s, which no setting changes.
    def init(**_):
        raise Exception(TIMED_OUT)

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(ConfigError) as caught, connected(address, 1):
        pass
    assert re.fullmatch(said, str(caught.value))
