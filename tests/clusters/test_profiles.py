"""What lies in clusters/ for users: profiles, files for launchers, the Grafana dashboard."""

import json
import re

import pytest
import yaml

from search.cli.configuration import config_from
from search.config import build_config, read_profile
from search.run import build_parser
from search.tune.watching import GAUGES
from spaces.errors import ConfigError
from tests.helpers.printed import FOLDER, joined, printed

README = (FOLDER.parent / "README.md").read_text()
PROFILES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
LAUNCH = sorted(path.name for path in (FOLDER / "launch").glob("*.yaml"))


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_is_settings_and_says_how_it_is_used(name):
    build_config({**read_profile(name), "budget": 0.1}, [], {})
    assert any(f"--cluster {name}" in paragraph for paragraph in printed(f"{name}.yaml"))


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


def documents(name):
    return list(yaml.safe_load_all((FOLDER / "launch" / name).read_text()))


@pytest.mark.parametrize("name", LAUNCH)
def test_a_launchers_file_keeps_the_door_shut(name):
    text = (FOLDER / "launch" / name).read_text()
    (host,) = re.findall(r"dashboard-host[:=]\s*\"?([\d.]+)", text)
    assert "RAY_AUTH_MODE=token" in text or "mode: token" in text
    if host != "127.0.0.1":
        # KubeRay fails a job whose dashboard its operator cannot reach for five minutes.
        job, policy = documents(name)
        assert (job["kind"], policy["kind"]) == ("RayJob", "NetworkPolicy")
        chosen = policy["spec"]["podSelector"]["matchLabels"]
        cluster = job["spec"]["rayClusterSpec"]
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            assert chosen.items() <= group["template"]["metadata"]["labels"].items()
        own, operator = policy["spec"]["ingress"]
        assert own == {"from": [{"podSelector": {"matchLabels": chosen}}]}
        assert [port["port"] for port in operator["ports"]] == [8265]


def test_ray_up_takes_its_file():
    """By Ray's own schema; the token is there before Ray asks for one, and goes to all nodes."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    (given,) = documents("ray-up.yaml")
    config = prepare_config(given)
    validate_config(config)
    assert config["file_mounts"]["/home/ubuntu/.ray/auth_token"] == "~/.ray/auth_token"
    lines = printed("cloud.yaml")[0].splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ray", "get-auth-token"],
        ["ray", "up"],
        ["ray", "exec"],
    ]
    for line in (*config["head_start_ray_commands"], *config["worker_start_ray_commands"]):
        assert "ray start" not in line or line.startswith("RAY_AUTH_MODE=token ")
    exported = next(line for line in config["setup_commands"] if ".bashrc" in line)
    assert "RAY_AUTH_MODE=token" in exported and "~/venv/bin" in exported


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml"])
def test_rays_autoscaler_reads_the_pods(name):
    from ray.autoscaler._private.kuberay.autoscaling_config import (
        _derive_autoscaling_config_from_ray_cr as derive,
    )

    resource = documents(name)[0]
    spec = resource["spec"].get("rayClusterSpec", resource["spec"])
    assert spec["enableInTreeAutoscaling"] is True
    found = derive({"metadata": {"name": "x", "namespace": "y"}, "spec": spec})
    kinds = found["available_node_types"]
    assert kinds["headgroup"]["resources"]["CPU"] == 0
    assert kinds["workers"]["resources"] == {"CPU": 8, "memory": 2**34, "target": 1}


def test_the_image_is_built_of_what_is_there_and_as_the_readme_installs():
    text = (FOLDER / "launch" / "Dockerfile").read_text()
    instructions = joined(line for line in text.splitlines() if not line.startswith("#"))
    for line in re.findall(r"^COPY (.*) \S+$", instructions, re.MULTILINE):
        for source in line.split():
            assert (FOLDER.parent / source).exists(), source
    packages = (p.name for p in FOLDER.parent.iterdir() if (p / "__init__.py").is_file())
    # What pyproject.toml installs, and nothing else.
    assert {p for p in packages if p not in ("tests", "examples", "benchmarks")} == {
        line.split()[1]
        for line in instructions.splitlines()
        if line.startswith("COPY") and len(line.split()) == 3
    }
    shown = re.search(r"`pip install (-c \S+ -e) \"\.\[cpu\]\"` for CPUs", README)
    assert shown and f'{shown[1]} ".[$PADDLE]"' in instructions
    assert "\nARG PADDLE=cpu\n" in instructions
    images = re.findall(r"image: (\S+)", "".join(map(text_of, ("raycluster.yaml", "rayjob.yaml"))))
    assert set(images) == {"your-registry/slimsearch:latest"}
    assert f"-t {images[0]} ." in text


def text_of(name):
    return (FOLDER / "launch" / name).read_text()


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
