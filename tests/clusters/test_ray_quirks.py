"""Each part of Ray's inside that clusters/ relies on, tried against the installed Ray."""

import ast
import os
from pathlib import Path

import pytest
import ray
from ray._private.runtime_env import constants
from ray.core.generated import gcs_service_pb2

import clusters
from clusters import ray_quirks
from tests.helpers.child import run_in_child

PRIVATE = ("ray._private", "ray._raylet")


def test_no_other_file_here_imports_rays_private_modules():
    folder = Path(clusters.__file__).parent
    found = {}
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            module = (isinstance(node, ast.ImportFrom) and node.module) or ""
            attribute = isinstance(node, ast.Attribute) and ast.unparse(node)
            if module.startswith(PRIVATE) or (attribute and attribute.startswith(PRIVATE)):
                found[path.name] = ast.unparse(node)
    assert set(found) == {"ray_quirks.py"}


def test_ray_reads_every_switch():
    folder = Path(ray.__file__).parent
    sources = [path.read_bytes() for path in folder.rglob("*.py") if "tests" not in path.parts]
    # Its core has settings without the prefix.
    core = (folder / "_raylet.so").read_bytes()
    for name in ray_quirks.SWITCHES:
        assert any(name.encode() in text for text in sources) or (
            name.removeprefix("RAY_").encode() in core
        ), name


def test_a_switch_that_the_user_has_set_stays(monkeypatch):
    name = "RAY_DEDUP_LOGS"
    monkeypatch.setattr(ray_quirks, "SWITCHES", {name: "1", "RAY_OF_OURS": "2"})
    monkeypatch.setattr(ray_quirks, "TALKATIVE", ())
    monkeypatch.setenv(name, "0")
    monkeypatch.delenv("RAY_OF_OURS", raising=False)
    ray_quirks.quieten()
    assert (os.environ[name], os.environ["RAY_OF_OURS"]) == ("0", "2")


def test_rays_head_has_the_call_that_it_is_asked_by():
    package, service, method = ray_quirks.CHECK_ALIVE.strip("/").replace("/", ".").rsplit(".", 2)
    found = gcs_service_pb2.DESCRIPTOR
    assert found.package == package
    assert method in found.services_by_name[service].methods_by_name


SHOWN = """
import os
from clusters import ray_quirks
assert not ray_quirks.show_token()
assert ray_quirks.TOKEN_MODE not in os.environ
os.environ["RAY_AUTH_TOKEN"] = "a" * 64
assert ray_quirks.show_token()
assert os.environ[ray_quirks.TOKEN_MODE] == "token"
"""


def test_a_token_is_shown_where_there_is_one(tmp_path):
    run_in_child(SHOWN, HOME=str(tmp_path))


@pytest.mark.parametrize("address", ["10.0.0.1:6379", "head:6379"])
def test_an_address_stands_for_itself(address):
    assert ray_quirks.head_address(address) == address


def test_auto_is_where_the_environment_says(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert ray_quirks.head_address("auto") == "10.0.0.1:6379"


def test_a_jobs_configuration_is_where_ray_leaves_it(monkeypatch):
    assert ray_quirks.JOB_CONFIG == constants.RAY_JOB_CONFIG_JSON_ENV_VAR
    monkeypatch.delenv(ray_quirks.JOB_CONFIG, raising=False)
    assert ray_quirks.job_config() == {}
    monkeypatch.setenv(ray_quirks.JOB_CONFIG, '{"runtime_env": {"working_dir": "."}}')
    assert ray_quirks.job_config() == {"runtime_env": {"working_dir": "."}}


def test_a_lean_trainer_has_all_callbacks_of_ray_train_but_two():
    from ray.train import ScalingConfig
    from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

    def callbacks(kind):
        made = kind(print, scaling_config=ScalingConfig(num_workers=1))._create_default_callbacks()
        return {type(callback).__name__ for callback in made}

    rays, lean = callbacks(DataParallelTrainer), callbacks(ray_quirks.lean_trainer())
    assert lean < rays
    assert rays - lean == {"DatasetsCallback", "PlacementGroupCleanerCallback"}


def test_rays_walk_visits_what_is_sent_and_nothing_else(tmp_path):
    for name in ("code.py", "data/a.npz", "logs/a.txt", "big/a.bin"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".gitignore").write_text("data/\n")
    seen = []
    ray_quirks.walk_sent_files(tmp_path, ["logs"], lambda path: path.name == "big", seen.append)
    files = {path.relative_to(tmp_path).as_posix() for path in seen if path.is_file()}
    assert files == {"code.py", "data/a.npz", ".gitignore"}
