"""What lies in clusters/ for users: profiles, files for launchers, the Grafana dashboard."""

import json
import re
from pathlib import Path

import pytest
import yaml

import clusters
from search.config import build_config, read_profile
from search.run import build_parser, config_from
from search.watching import GAUGES
from spaces.errors import ConfigError

FOLDER = Path(clusters.__file__).parent
PROFILES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
LAUNCH = sorted(path.name for path in (FOLDER / "launch").glob("*.yaml"))


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_settings_and_says_how_it_is_used(name):
    build_config({**read_profile(name), "budget": 0.1}, [], {})
    text = (FOLDER / f"{name}.yaml").read_text()
    assert f"--cluster {name}" in text or (name == "kuberay" and "rayjob.yaml" in text)


@pytest.mark.parametrize("name", PROFILES)
def test_no_profile_opens_the_dashboard(name):
    config = build_config({**read_profile(name), "budget": 0.1}, [], {})
    assert config.dashboard_host == "127.0.0.1"


def test_what_is_given_wins_over_the_profile(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("threads: 3\nretries: 7\nconcurrency: 5\n")
    settings = tmp_path / "settings.yaml"
    settings.write_text("retries: 8\n")
    arguments = ["--cluster", str(mine), "--config", str(settings), "-o", "concurrency=6"]
    config = config_from(build_parser().parse_args(arguments), {"budget": 0.1})
    assert (config.threads, config.retries, config.concurrency) == (3, 8, 6)


def test_an_unknown_profile_is_one_line():
    with pytest.raises(ConfigError, match="on-premises") as caught:
        read_profile("mars")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", LAUNCH)
def test_a_launchers_file_keeps_the_door_shut(name):
    text = (FOLDER / "launch" / name).read_text()
    yaml.safe_load(text)
    hosts = re.findall(r"dashboard-host[:=]\s*\"?([\d.]+)", text)
    assert hosts == ["127.0.0.1"]
    assert "RAY_AUTH_MODE=token" in text or "mode: token" in text


@pytest.mark.parametrize("name", LAUNCH)
def test_nodes_are_what_the_profile_asks_for(name):
    profile = "cloud" if name == "ray-up.yaml" else "kuberay"
    resource = read_profile(profile)["target_resource"]
    assert re.search(rf'\\?"{resource}\\?": ?1', (FOLDER / "launch" / name).read_text())


def test_the_dashboard_shows_every_gauge():
    shown = json.loads((FOLDER / "grafana-dashboard.json").read_text())
    asked = " ".join(t["expr"] for panel in shown["panels"] for t in panel["targets"])
    counters = ("slimsearch_trials", "slimsearch_stage_seconds", "slimsearch_retries")
    for name in (*GAUGES, *counters):
        assert f"ray_{name}" in asked
