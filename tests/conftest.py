"""Fixtures shared by all tests."""

import os

# One thread, whatever the machine has: figures that depend on the sum's order stay equal.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

import trainables  # noqa: F401  (sets paddle's flag before anyone imports paddle)
from tests.support import make_workplace


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory):
    """Trained weights of tests/tiny's network, at about 0.75 accuracy."""
    import paddle

    from tests.tiny.mine import Mine
    from trainables.training import Trainer
    from trainables.weights import model_weights, write_weights

    paddle.seed(0)
    task = Mine()
    model = task.build_model()
    trainer = Trainer(model, task, steps=500, learning_rate=0.1, batch_size=32, seed=0)
    trainer.run(500)
    path = tmp_path_factory.mktemp("tiny") / "weights.safetensors"
    write_weights(path, model_weights(model))
    return path


@pytest.fixture(scope="session")
def workplace(tmp_path_factory, tiny_weights):
    """A folder outside the repository with the package `mypkg` and a cache."""
    return make_workplace(tmp_path_factory.mktemp("workplace"), tiny_weights)
