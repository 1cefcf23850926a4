import numpy as np
import paddle
import psutil
import pytest

from spaces.errors import TrialError
from tests.helpers.tiny.mine import Mine
from trainables.deployment.engines.paddle_inference import PaddleEngine
from trainables.deployment.export import (
    check_outputs,
    export_float,
    output_difference,
    rewritable_export,
)
from trainables.evaluation import eager
from trainables.task import ModelInput


def test_export_computes_what_the_model_computes_at_any_batch_size(tiny_weights, tmp_path):
    task = Mine(tiny_weights)
    model = task.build_model()
    export_float(model, task.inputs, tmp_path)
    engine = PaddleEngine(tmp_path, "float", 1)
    for size in (1, 7, 64):
        inputs = next(task.eval_batches("val", size)).inputs
        assert output_difference(engine.run(inputs), eager(model)(inputs)) < 1e-4


def test_export_of_other_weights_is_caught(tiny_weights, tmp_path):
    task, untrained = Mine(tiny_weights), Mine()
    export_float(untrained.build_model(), task.inputs, tmp_path)
    inputs = next(task.eval_batches("val", 64)).inputs
    outputs = PaddleEngine(tmp_path, "float", 1).run(inputs)
    with pytest.raises(TrialError, match="differ"):
        check_outputs(outputs, eager(task.build_model())(inputs), "int8")


def test_an_export_is_written_with_other_weights_and_with_its_own_again(tiny_weights, tmp_path):
    task = Mine(tiny_weights)
    model = task.build_model()
    (inputs,) = next(task.eval_batches("val", 64)).inputs
    whole = eager(model)([inputs])
    with rewritable_export(model, task.inputs, tmp_path) as write:
        write({"head.bias": np.full(10, 3.0, "float32")})
        shifted = PaddleEngine(tmp_path, "float", 1).run([inputs])
        model.head.bias.set_value(np.full(10, 3.0, "float32"))
        assert output_difference(shifted, eager(model)([inputs])) < 1e-4
        # Earlier replacements no longer apply.
        write({"head.weight": np.zeros((32, 10), "float32")})
        (biases,) = PaddleEngine(tmp_path, "float", 1).run([inputs])
        assert np.ptp(biases, axis=0).max() < 1e-6
        assert np.ptp(biases) > 0
        write({})
        assert output_difference(PaddleEngine(tmp_path, "float", 1).run([inputs]), whole) < 1e-4
    assert paddle.in_dynamic_mode()


class Auxiliary(paddle.nn.Layer):
    """A second head that runs in training alone."""

    inputs = (ModelInput("x", (4,)),)

    def __init__(self):
        super().__init__()
        self.head, self.second = paddle.nn.Linear(4, 2), paddle.nn.Linear(4, 3)

    def forward(self, x):
        return [self.head(x), self.second(x)] if self.training else self.head(x)


def test_weights_of_training_alone_are_ignored(tmp_path):
    model = Auxiliary()
    zeros = {name: np.zeros(p.shape, "float32") for name, p in model.named_parameters()}
    x = np.ones((2, 4), "float32")
    with rewritable_export(model, model.inputs, tmp_path) as write:
        write(zeros)
        assert not PaddleEngine(tmp_path, "float", 1).run([x])[0].any()
        write({})
        assert PaddleEngine(tmp_path, "float", 1).run([x])[0].any()


class Large(paddle.nn.Layer):
    """32 MB of weights."""

    inputs = (ModelInput("x", (4096,)),)

    def __init__(self):
        super().__init__()
        self.linear = paddle.nn.Linear(4096, 2048)

    def forward(self, x):
        return self.linear(x)


def test_weights_written_again_do_not_stay_in_memory(tmp_path):
    model = Large()
    zeros = {"linear.weight": np.zeros((4096, 2048), "float32")}

    def resident_after(exports, writes):
        for _ in range(exports):
            with rewritable_export(model, model.inputs, tmp_path) as write:
                for _ in range(writes):
                    write(zeros)
        return psutil.Process().memory_info().rss / 1e6

    before = resident_after(1, 1)
    assert resident_after(4, 4) - before < 3 * 32


def test_difference_is_a_share_of_the_spread():
    reference = [np.array([[0.0, 2.0], [4.0, 6.0]])]
    shifted = [reference[0] + np.std(reference[0])]
    assert output_difference(shifted, reference) == pytest.approx(1.0)
    assert output_difference(reference, reference) == 0.0


def test_nan_is_never_close_enough():
    with pytest.raises(TrialError):
        check_outputs([np.array([np.nan, 1.0])], [np.array([0.0, 1.0])], "int8")


def test_other_shapes_are_named():
    with pytest.raises(TrialError, match=r"\(2, 3\)"):
        output_difference([np.zeros((2, 3))], [np.zeros((2, 4))])
