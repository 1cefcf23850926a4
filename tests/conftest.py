"""Fixtures shared by all tests."""

import os

# One thread on every machine, so that results that depend on the order of sums are equal.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# By default Ray's workers yield to all other processes, and make no progress beside other tests.
os.environ.setdefault("RAY_worker_niceness", "0")
# Ray's own limit for the start of a node, 30 s, is too short beside other tests.
os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")

import pytest
from filelock import FileLock

import trainables  # noqa: F401  (sets paddle's flag before paddle is imported)
from tests.helpers.s3 import CREDENTIALS, s3_server
from tests.helpers.support import AS_BY_DEFAULT, make_workplace, ray_cluster


@pytest.fixture
def without_token(monkeypatch):
    """No token for a Ray that is started in this process.

    Ray's core stays in token mode once it is in it, and then loses all actors on the next Ray
    without a token.
    """
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory):
    """One folder for all processes of the session."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def tiny_weights(shared_folder):
    """Trained weights of tests/helpers/tiny's network, with an accuracy of about 0.75."""
    path = shared_folder / "weights.safetensors"
    with FileLock(f"{path}.lock"):
        if not path.exists():
            train_tiny(path)
    return path


def train_tiny(path):
    import paddle

    from tests.helpers.tiny.mine import Mine
    from trainables.training import Trainer
    from trainables.weights import model_weights, write_weights

    paddle.seed(0)
    task = Mine()
    model = task.build_model()
    trainer = Trainer(model, task, steps=500, learning_rate=0.1, batch_size=32, seed=0)
    trainer.run(500)
    write_weights(path, model_weights(model))


@pytest.fixture(scope="session")
def local_workplace(shared_folder, tiny_weights):
    """A folder outside the repository with the package `mypkg` and a cache."""
    with FileLock(shared_folder / "workplace.lock"):
        return make_workplace(shared_folder / "workplace", tiny_weights)


@pytest.fixture(scope="session")
def whole_run(local_workplace):
    """The folder of a user's own task's run to its end, on a local Ray, and what it printed."""
    run = local_workplace.folder / "finished"
    said = run.with_suffix(".txt")
    with FileLock(f"{run}.lock"):
        if not said.exists():
            ended = local_workplace.run(
                *("--budget", "0.1", *local_workplace.task(), "--trials", "9", "--out", str(run)),
                *("--concurrency", "2"),
                **AS_BY_DEFAULT,
            )
            assert ended.returncode == 0, ended.stdout + ended.stderr
            said.write_text(ended.stdout + ended.stderr)
    return run, said.read_text()


@pytest.fixture(scope="session")
def workplace(local_workplace):
    """`local_workplace` with runs on a shared Ray cluster: starting one takes 20 seconds."""
    with ray_cluster(local_workplace, num_cpus=2) as place:
        yield place


@pytest.fixture(scope="session")
def s3():
    """A real S3 server on loopback; its credentials are in the environment."""
    with pytest.MonkeyPatch.context() as patch, s3_server() as server:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(params=["folder", "file URI", "s3"])
def uri(request, tmp_path):
    """An empty location on each kind of storage."""
    if request.param == "folder":
        return str(tmp_path / "shared")
    if request.param == "file URI":
        return (tmp_path / "shared").as_uri()
    return request.getfixturevalue("s3").uri(tmp_path.name)
