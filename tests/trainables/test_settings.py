"""Settings of workers: their folders on a node, and what is refused."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from spaces.plan import Plan, QuantizationChoice
from trainables.settings import TrialSettings, node_cache, user_path


def settings(**values):
    return TrialSettings(**{"run_folder": "run-1", "cache_folder": "/cache", **values})


def test_unknown_settings_are_refused_and_settings_are_not_changed_in_place():
    with pytest.raises(ValidationError):
        settings(batchsize=3)
    one = settings()
    with pytest.raises(ValidationError):
        one.seed = 3
    assert (one.having(seed=3).seed, one.seed) == (3, 0)


def test_the_folders_of_a_run_are_below_the_nodes_cache():
    plan = Plan.of({"conv.weight": 0.5}, QuantizationChoice.FLOAT)
    one = settings()
    assert one.folder == Path("/cache/runs/run-1")
    assert one.baseline_folder == one.folder / "baseline"
    assert one.candidate_folder(7) == one.folder / "candidates" / "000007"
    assert one.reference_folder(plan) == one.folder / "references" / plan.key
    # A local run has its own absolute folder.
    assert settings(run_folder="/runs/mine").folder == Path("/runs/mine")


def test_a_nodes_cache_is_as_given_else_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert node_cache("mine") == tmp_path / "mine"
    monkeypatch.setenv("HOME", "/home/me")
    assert node_cache("~/mine") == Path("/home/me/mine")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert node_cache(None) == Path("/home/me/.cache/slimsearch")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/cache")
    assert node_cache(None) == Path("/var/cache/slimsearch")


def test_a_path_of_an_unknown_user_stays_as_it_is():
    assert user_path("~no-such-user/x") == Path("~no-such-user/x")
