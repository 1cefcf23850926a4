"""What goes to the nodes with a working folder, as Ray itself packs it."""

import json
import zipfile
from pathlib import Path

import pytest
from ray._private.runtime_env.packaging import create_package

from clusters.ray_quirks import SWITCHES
from clusters.working_folder import LARGEST_BYTES, beyond_the_job, job_environment, with_excludes
from search.config import read_profile
from search.records.run_folder import is_run_folder
from spaces.errors import ConfigError

REPOSITORY = Path(__file__).parents[2]


def made(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def large(path, size=LARGEST_BYTES):
    """Make a file that says it is so large, and takes no room."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)


def sent(folder, tmp_path, **environment):
    """Return the names of the files that Ray would send."""
    assert SWITCHES["RAY_RUNTIME_ENV_IGNORE_GITIGNORE"] == "1"
    found = with_excludes({"working_dir": str(folder), **environment}, is_run_folder)
    target = tmp_path / "package.zip"
    create_package(found["working_dir"], target, False, excludes=found["excludes"])
    with zipfile.ZipFile(target) as package:
        return {name for name in package.namelist() if not name.endswith("/")}


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    made(folder, "mine.py", "table.parquet", "w.pdparams", "data/d.npz", "runs/code.py")
    (folder / ".gitignore").write_text("*.parquet\n*.pdparams\ndata/\n")
    return folder


NEEDED = {"mine.py", "table.parquet", "w.pdparams", "data/d.npz", "runs/code.py", ".gitignore"}


def test_what_a_tasks_code_may_read_goes_along(project, tmp_path):
    assert sent(project, tmp_path) == NEEDED


def test_environments_caches_and_runs_stay_here_whatever_they_are_called(project, tmp_path):
    large(project / "my env [3.11]" / "lib" / "big.so")
    made(project, "my env [3.11]/pyvenv.cfg", ".mypy_cache/x", "pkg/__pycache__/x.pyc", ".git/HEAD")
    made(project, "conda/conda-meta/history", "conda/lib/x")
    made(project, "runs/one/stages/baseline.json", "runs/one/config.yaml", "deep/er/one/.lock")
    large(project / "runs" / "one" / "candidates" / "weights")
    made(project, "deep/er/one/settings.yaml", "deep/er/one/model/x")
    assert sent(project, tmp_path) == NEEDED


def test_rayignore_and_excludes_of_ones_own_hold(project, tmp_path):
    (project / ".rayignore").write_text("data\n")
    found = sent(project, tmp_path, excludes=["*.pdparams"])
    assert found == (NEEDED | {".rayignore"}) - {"data/d.npz", "w.pdparams"}


def test_all_files_of_the_packages_go_along_from_a_clone(tmp_path):
    """Of a clone they hide the packages that are installed on the nodes."""
    expected = {
        str(path.relative_to(REPOSITORY))
        for package in ("search", "trainables", "spaces", "clusters")
        for path in (REPOSITORY / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert "trainables/tasks/fashion_mnist/data/fashion_mnist.parquet" in expected
    profile = read_profile("on-premises")["runtime_env"]
    for given in (profile, {"excludes": ["*.parquet", "*.safetensors", "*.json", "*.html"]}):
        found = sent(REPOSITORY, tmp_path, **{**given, "working_dir": str(REPOSITORY)})
        assert expected <= found, expected - found
    assert not [name for name in found if name.startswith((".git/", ".venv/", "bench/work/"))]


def test_more_than_ray_takes_is_one_line_that_names_what(project):
    large(project / "photos" / "a.bin", LARGEST_BYTES // 2)
    large(project / "photos" / "b.bin", LARGEST_BYTES // 2)
    with pytest.raises(
        ConfigError, match=r"at most 512 MB .*\(photos 512 MB, .*rayignore"
    ) as caught:
        with_excludes({"working_dir": str(project)})
    assert len(str(caught.value)) <= 300 and "\n" not in str(caught.value)
    (project / ".rayignore").write_text("photos\n")
    with_excludes({"working_dir": str(project)})


def test_a_folder_that_holds_itself_is_refused_or_sent_but_ends(project):
    (project / "again").symlink_to(project)
    made(project, *(f"many/{number}" for number in range(20)))
    with_excludes({"working_dir": str(project)})


def test_in_a_job_ray_keeps_what_the_job_brought(monkeypatch):
    """Ray refuses a field, or a variable, that both the job and its driver give."""
    job = {"working_dir": "gcs://code.zip", "env_vars": {"OMP_NUM_THREADS": "2"}}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps({"runtime_env": job}))
    assert job_environment() == job
    ours = {"working_dir": ".", "excludes": ["x"], "env_vars": {"OMP_NUM_THREADS": "1", "A": "b"}}
    assert beyond_the_job(ours, job) == {"env_vars": {"A": "b"}}
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR")
    assert beyond_the_job(ours, job_environment()) == ours


@pytest.mark.parametrize("folder", ["gcs://code.zip", "code.zip", None])
def test_what_is_no_folder_is_left_to_ray(folder):
    assert with_excludes({"working_dir": folder}) == {"working_dir": folder}
