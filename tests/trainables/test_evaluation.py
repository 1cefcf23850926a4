"""Evaluation of a model: what is run, in which order, and what is refused."""

from contextlib import contextmanager

import numpy as np
import paddle
import pytest

from spaces.errors import TaskError, TrialError
from tests.helpers.tiny.mine import Mine
from trainables.evaluation import eager, evaluate, first_samples, predict, timed_batches
from trainables.task import ModelInput, timed_shapes


class Nested(paddle.nn.Layer):
    """Multiples of its input, nested, with a value that is no tensor."""

    def forward(self, x):
        return {"b": [2 * x, (3 * x, 4 * x)], "a": x, "none": None}


class Empty(Mine):
    def eval_batches(self, split, batch_size):
        yield from ()


def test_outputs_are_flat_in_the_order_of_an_export():
    (one, two, three, four) = predict(Nested(), [paddle.ones([1, 1])])
    assert [float(array) for array in (one, two, three, four)] == [1, 2, 3, 4]


def test_first_samples_repeat_where_the_split_is_too_small(tiny_weights):
    (images,) = first_samples(Mine(tiny_weights), 500)
    assert images.shape == (500, 1, 14, 14)
    assert (images[0] == images[400]).all()


def test_samples_of_further_sizes_are_resized(tiny_weights):
    task = Mine(tiny_weights)
    task.inputs = (ModelInput("image", (1, 14, 14), more_shapes=((1, 14, 28), (1, 7, 14))),)
    (images,), (wide,), (flat,) = timed_batches(task, 3)
    assert (wide == images.repeat(2, axis=3)).all()
    assert (flat == images[:, :, ::2]).all()
    assert (images == first_samples(task, 3)[0]).all()


def test_an_input_of_one_shape_has_it_at_every_size():
    image = ModelInput("image", (3, 8, 8), more_shapes=((3, 8, 16), (3, 8, 32)))
    assert image.exported_shape == (3, 8, None)
    factor = ModelInput("factor", (2,))
    assert timed_shapes([factor]) == (((2,),),)
    shapes = timed_shapes([factor, image])
    assert shapes == tuple(((2,), (3, 8, width)) for width in (8, 16, 32))


@pytest.mark.parametrize(
    ("more", "said"),
    [(((2, 2),), "have other numbers of axes"), (((1,),), "different numbers of more_shapes")],
)
def test_shapes_that_do_not_fit_each_other_are_refused(more, said):
    image = ModelInput("image", (3, 8, 8), more_shapes=((3, 8, 16), (3, 8, 32)))
    with pytest.raises(TaskError, match=said):
        timed_shapes([image, ModelInput("factor", (2,), more_shapes=more)])


def test_statistics_are_in_the_order_of_the_samples_whatever_the_batch(tiny_weights):
    task = Mine(tiny_weights)
    run = eager(task.build_model())
    rows = evaluate(run, task, "val", 150)
    assert rows.shape == (400,)
    assert (rows == evaluate(run, task, "val", 7)).all()
    labels = task.splits["val"][1].reshape(-1)
    (scores,) = run((task.splits["val"][0],))
    assert (rows == (scores.argmax(1) == labels)).all()


def test_each_batch_is_guarded_and_observed(tiny_weights):
    task, guarded, observed = Mine(tiny_weights), [], []

    @contextmanager
    def guard():
        guarded.append(True)
        yield

    def observe(batch, outputs):
        observed.append((len(batch.targets), outputs[0].shape))

    evaluate(eager(task.build_model()), task, "val", 150, guard, observe)
    assert len(guarded) == 3
    assert observed == [(150, (150, 10)), (150, (150, 10)), (100, (100, 10))]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_not_finite_are_refused(value, tiny_weights):
    def run(inputs):
        scores = np.zeros((len(inputs[0]), 10))
        scores[-1, -1] = value
        return [scores]

    with pytest.raises(TrialError, match="outputs on val are not finite"):
        evaluate(run, Mine(tiny_weights), "val", 100)


def test_an_empty_split_is_refused(tiny_weights):
    with pytest.raises(TrialError, match="no batch of its test split"):
        evaluate(lambda inputs: [], Empty(tiny_weights), "test", 100)
