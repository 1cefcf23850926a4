"""Biases that a batch norm cancels."""

from dataclasses import dataclass

import numpy as np
import paddle
import pytest
from paddle import nn

from trainables.compression.biases import absorb, useless_biases
from trainables.compression.graph.tracing import trace
from trainables.compression.graph.verification import random_samples
from trainables.models import new_model
from trainables.task import ModelInput

INPUTS = (ModelInput("image", (3, 8, 8), "float32"),)


class Block(nn.Layer):
    def __init__(self, norm=True):
        super().__init__()
        self.conv = nn.Conv2D(3, 4, 3)
        self.norm = nn.BatchNorm2D(4) if norm else nn.Identity()

    def forward(self, image):
        return paddle.nn.functional.relu(self.norm(self.conv(image)))


class UsedElsewhere(Block):
    def forward(self, image):
        made = self.conv(image)
        return self.norm(made) + made


class CalledTwice(Block):
    def forward(self, image):
        return self.norm(self.conv(image)) + self.conv(2 * image)


def trained(block):
    """A model with random weights, biases and means."""
    paddle.seed(3)
    model = block()
    for _, parameter in model.named_parameters():
        parameter.set_value(paddle.randn(parameter.shape))
    for _, buffer in model.named_buffers():
        buffer.set_value(paddle.rand(buffer.shape) + 0.5)
    model.eval()
    return model


def samples():
    return random_samples(INPUTS)


def image(count=2):
    return paddle.to_tensor(np.random.default_rng(1).standard_normal((count, 3, 8, 8), "float32"))


def test_outputs_stay_without_the_bias():
    model = trained(Block)
    before = model(image()).numpy()
    pairs = useless_biases(model, samples)
    assert pairs == (("conv", "norm"),)
    assert model.conv.bias is not None, "finding changes nothing"
    assert not model.training
    model.train()
    useless_biases(model, samples)
    assert model.training and model.norm.training
    model.eval()
    np.testing.assert_array_equal(model(image()).numpy(), before)
    absorb(model, pairs)
    assert model.conv.bias is None
    assert "conv.bias" not in dict(model.named_parameters())
    np.testing.assert_allclose(model(image()).numpy(), before, rtol=1e-4, atol=1e-5)


def test_it_trains_as_before():
    models = [trained(Block), trained(Block)]
    absorb(models[1], (("conv", "norm"),))
    for model in models:
        model.train()
        optimizer = paddle.optimizer.SGD(0.1, parameters=model.parameters())
        for _ in range(3):
            (model(image(8)) ** 2).mean().backward()
            optimizer.step()
            optimizer.clear_grad()
        model.eval()
    with_bias, without = (model(image()).numpy() for model in models)
    np.testing.assert_allclose(with_bias, without, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("block", [UsedElsewhere, CalledTwice, lambda: Block(norm=False)])
def test_a_bias_that_matters_is_not_removed(block):
    assert useless_biases(trained(block), samples) == ()


def test_a_model_that_fails_on_the_samples_keeps_its_biases():
    class Choosy(Block):
        def forward(self, image):
            raise RuntimeError("not an image")

    assert useless_biases(trained(Choosy), samples) == ()


@dataclass
class Comparable:
    """Compared by its fields, and so not hashable."""

    inputs: tuple = INPUTS

    def build_model(self):
        return trained(Block)


class Unwatched(tuple):
    """A task without a `__dict__` and without weak references."""

    __slots__ = ()
    inputs = INPUTS

    def build_model(self):
        return trained(Block)


@pytest.mark.parametrize("kind", [Comparable, Unwatched])
def test_a_tasks_models_are_built_without_and_export_no_additions(kind):
    task = kind()
    for _ in range(2):
        model = new_model(task)
        assert model.conv.bias is None
    operators = [operator.type for operator in trace(model, INPUTS).operators]
    assert "elementwise_add" not in operators
