"""Exports without what removed branches leave, beside exports of networks that never had them."""

from collections import Counter
from dataclasses import replace

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn

from spaces.plan import QuantizationChoice
from trainables.compression.graph.modes import quietly
from trainables.compression.quantization import prepare_quantization
from trainables.compression.slim import quantize_post_training
from trainables.deployment.engines.paddle_inference import PaddleEngine, supports_bfloat16
from trainables.deployment.export import (
    export_float,
    input_spec,
    output_difference,
    parameter_names,
)
from trainables.deployment.exported import MODEL_FILE, WEIGHTS_FILE, size_bytes
from trainables.deployment.onnx_export import export_onnx
from trainables.deployment.program import path_prefix, read_program
from trainables.deployment.simplify import simplify
from trainables.task import ModelInput

IMAGE = [ModelInput("image", (3, 16, 16))]


class Network(nn.Layer):
    """A convolution, what `middle` makes of its map, another convolution and a classifier."""

    def __init__(self, middle=lambda x: x):
        super().__init__()
        self.first = nn.Conv2D(3, 8, 3, padding=1, bias_attr=False)
        self.norm = nn.BatchNorm2D(8)
        self.last = nn.Conv2D(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 4)
        self.middle = middle

    def forward(self, x):
        x = self.middle(F.relu(self.norm(self.first(x))))
        return self.head(F.adaptive_avg_pool2d(F.relu(self.last(x)), 1).flatten(1))


def residual_block(x):
    return F.relu(x + paddle.zeros([1, 1, 1, 1]))


def residual_block_of_full_size(x):
    x = F.relu(paddle.zeros(x.shape, x.dtype) + x)
    return F.relu(x + paddle.zeros_like(x))


def in_place(x):
    out = paddle.zeros([1])
    out += x
    out += paddle.zeros([paddle.shape(x)[0], 8, 1, 1])
    return out


def gate_of_ones(x):
    return x * paddle.ones([1, 8, 1, 1]) / F.sigmoid(paddle.full([1], 50.0))


def empty_path(x):
    return paddle.concat([F.relu(x[:, :0]), x, paddle.zeros([x.shape[0], 0, 16, 16])], 1)


def fusion(x):
    """A sum of maps of several sizes, as HRNet has it."""
    low = paddle.zeros([x.shape[0], 8, 8, 8])
    up = F.interpolate(F.relu(low), size=x.shape[2:], mode="bilinear", align_corners=True)
    down = F.avg_pool2d(F.interpolate(low, scale_factor=4), 2)
    y = F.dropout(up, 0.1, training=False) + down.transpose([0, 1, 3, 2])
    return F.relu(y + x + low.reshape([-1, 8, 64]).sum(-1, keepdim=True).unsqueeze(-1))


def sum_of_many(x):
    return paddle.add_n([paddle.zeros_like(x), x, x * paddle.zeros([1])])


def stored_in_forward(x):
    return x - paddle.to_tensor(np.zeros([8, 1, 1], "float32"))


NOTHING_LEFT = (
    *(residual_block, residual_block_of_full_size, in_place, gate_of_ones, empty_path, fusion),
    *(sum_of_many, stored_in_forward),
)


def operators(folder):
    with quietly():
        paddle.enable_static()
        return [op.type for op in read_program(folder).global_block().ops]


def built(middle=lambda x: x):
    paddle.seed(0)
    model = Network(middle)
    model.eval()
    return model


def samples(count=8):
    return np.random.default_rng(0).standard_normal((count, 3, 16, 16)).astype("float32")


def save(model, folder):
    """Export as paddle does."""
    paddle.jit.save(model, path_prefix(folder), input_spec=input_spec(IMAGE))


def assert_equal(folder, other, precisions=("float", "bfloat16")):
    """Both compute the same at any batch size; without optimization, every bit."""
    for count in (1, 3, 8):
        expected, found = (PaddleEngine(f, None, 1).run([samples(count)]) for f in (other, folder))
        assert [o.tobytes() for o in found] == [o.tobytes() for o in expected]
        for precision in precisions:
            if precision == "bfloat16" and not supports_bfloat16():
                continue
            outputs = PaddleEngine(folder, precision, 1).run([samples(count)])
            assert output_difference(outputs, expected) < (0.05 if count > 1 else 0.2)


@pytest.fixture(scope="module")
def never_had_it(tmp_path_factory):
    folder = tmp_path_factory.mktemp("never")
    export_float(built(), IMAGE, folder)
    return folder


@pytest.mark.parametrize("middle", NOTHING_LEFT)
def test_nothing_of_a_removed_branch_is_left(middle, never_had_it, tmp_path):
    model = built(middle)
    save(model, tmp_path / "before")
    assert len(operators(tmp_path / "before")) > len(operators(never_had_it))
    export_float(model, IMAGE, tmp_path / "after")
    assert operators(tmp_path / "after") == operators(never_had_it)
    assert_equal(tmp_path / "after", tmp_path / "before")
    assert paddle.in_dynamic_mode()


@pytest.mark.parametrize("middle", [residual_block, sum_of_many])
def test_nothing_is_left_where_sizes_are_free(middle, never_had_it, tmp_path):
    free = [replace(IMAGE[0], more_shapes=((3, 32, 48),))]
    save(built(middle), tmp_path / "before")
    export_float(built(middle), free, tmp_path / "after")
    assert operators(tmp_path / "after") == operators(never_had_it)
    assert_equal(tmp_path / "after", tmp_path / "before")


class Stored(Network):
    """Adds its stored tensors: a buffer, and parameters that only now are zeros."""

    def __init__(self):
        super().__init__(self.add)
        zeros = nn.initializer.Constant(0.0)
        self.register_buffer("zero", paddle.zeros([1, 8, 1, 1]))
        self.register_buffer("half", paddle.full([1], 0.5))
        self.bias = self.create_parameter([8, 1, 1], default_initializer=zeros)
        self.frozen = self.create_parameter([1], default_initializer=zeros)
        self.frozen.stop_gradient = True

    def add(self, x):
        return (x + self.zero + self.bias + self.frozen) * self.half


def test_parameters_are_no_constants_and_what_is_unread_is_not_stored(never_had_it, tmp_path):
    model = Stored()
    model.eval()
    save(model, tmp_path / "before")
    export_float(model, IMAGE, tmp_path / "after")
    added = Counter(operators(tmp_path / "after")) - Counter(operators(never_had_it))
    assert added == {"elementwise_add": 2, "scale": 1}
    assert_equal(tmp_path / "after", tmp_path / "before")
    before, after = ((tmp_path / name / WEIGHTS_FILE).stat() for name in ("before", "after"))
    assert before.st_size - after.st_size >= 9 * 4


class Masked(Network):
    def forward(self, x):
        x = self.first(x)
        return self.head((x + self.last(x) * paddle.zeros([1])).mean([2, 3]))


def test_a_branch_that_is_multiplied_by_zero_takes_its_weights_along(tmp_path):
    model = Masked()
    save(model, tmp_path / "before")
    export_float(model, IMAGE, tmp_path / "after")
    assert operators(tmp_path / "after").count("conv2d") == 1
    assert size_bytes(tmp_path / "after") < size_bytes(tmp_path / "before") - 8 * 8 * 9 * 4
    assert_equal(tmp_path / "after", tmp_path / "before")
    x = paddle.to_tensor(samples())
    again = paddle.jit.load(path_prefix(tmp_path / "after"))
    assert again(x).numpy() == pytest.approx(model(x).numpy(), abs=1e-5)


class Outputs(Network):
    """Some outputs are constants, or the same as others or as the input."""

    def forward(self, x):
        y = F.relu(self.norm(self.first(x)))
        zero = paddle.zeros([1])
        return y + zero, zero * y, y + zero, F.relu(y + zero), x + zero, (y + zero) + y


def test_outputs_stay_with_their_names(tmp_path):
    model = Outputs()
    model.eval()
    save(model, tmp_path / "before")
    export_float(model, IMAGE, tmp_path / "after")
    assert len(operators(tmp_path / "after")) < len(operators(tmp_path / "before"))
    # In bfloat16 the engine cannot run such a program, written by hand without the zeros either.
    assert_equal(tmp_path / "after", tmp_path / "before", ("float",))
    names = []
    for folder in ("before", "after"):
        with quietly():
            paddle.enable_static()
            ops = read_program(tmp_path / folder).global_block().ops
        names.append([op.input_arg_names for op in ops if op.type in ("feed", "fetch")])
    assert names[0] == names[1]


def larger(x):
    """Zeros and ones that give the other operand more elements or another rank."""
    pooled = F.adaptive_avg_pool2d(x, 1)
    wide = pooled + paddle.zeros([1, 8, 16, 16])
    rows = paddle.mean(pooled, [0, 2, 3]) * paddle.ones([x.shape[0], 8])
    return wide + paddle.ones([1, 8, 2, 2]).sum() * rows.unsqueeze([2, 3])


def subtracted(x):
    return (paddle.zeros([1, 8, 1, 1]) - x) * (paddle.ones([1]) / (x + 1.0))


def control_flow(x):
    if x.sum() > 0:
        return x + paddle.zeros([1])
    return x - 1.0


def shortened(x):
    return paddle.concat([x[:, :0], x[:, :4], x[:, 4:]], 1) + paddle.full([1], 0.25)


@pytest.mark.parametrize("middle", [larger, subtracted, control_flow])
def test_what_changes_something_is_not_removed(middle, tmp_path):
    model = built(middle)
    save(model, tmp_path)
    files = [(tmp_path / name).read_bytes() for name in (MODEL_FILE, WEIGHTS_FILE)]
    assert not simplify(tmp_path, parameter_names(model))
    assert files == [(tmp_path / name).read_bytes() for name in (MODEL_FILE, WEIGHTS_FILE)]


def test_a_concatenation_keeps_its_other_paths_and_a_constant_becomes_a_scale(tmp_path):
    model = built(shortened)
    save(model, tmp_path / "before")
    export_float(model, IMAGE, tmp_path / "after")
    gone = Counter(operators(tmp_path / "before")) - Counter(operators(tmp_path / "after"))
    assert gone == {"slice": 1, "fill_constant": 1, "elementwise_add": 1}
    assert "concat" in operators(tmp_path / "after")
    assert_equal(tmp_path / "after", tmp_path / "before")


def test_onnxruntime_computes_the_same(tmp_path):
    pytest.importorskip("onnxruntime")
    export_float(built(fusion), IMAGE, tmp_path / "model")
    target = tmp_path / "model.onnx"
    assert export_onnx(tmp_path / "model", target, [samples()], "float", 1) < 1e-4


class Weightless(nn.Layer):
    def __init__(self):
        super().__init__()
        self.register_buffer("zero", paddle.zeros([1]))

    def forward(self, x):
        return F.relu(x + self.zero).mean([2, 3])


def test_a_model_of_whose_weights_none_is_left(tmp_path):
    model = Weightless()
    save(model, tmp_path / "before")
    export_float(model, IMAGE, tmp_path / "after")
    assert operators(tmp_path / "after") == ["feed", "relu", "reduce_mean", "fetch"]
    assert_equal(tmp_path / "after", tmp_path / "before")


class Rectified(Network):
    def forward(self, x):
        x, zero = self.first(x), paddle.zeros([1])
        y = F.relu(F.max_pool2d(F.relu6(x), 2) + zero)
        return y + F.relu(F.max_pool2d(x + zero, 2) + zero)


def test_a_rectifier_stays_where_the_only_term_left_may_be_negative(tmp_path):
    model = Rectified()
    save(model, tmp_path / "before")
    export_float(model, IMAGE, tmp_path / "after")
    assert operators(tmp_path / "before").count("relu") == 2
    assert operators(tmp_path / "after").count("relu") == 1
    assert_equal(tmp_path / "after", tmp_path / "before")


@pytest.mark.parametrize("middle", [residual_block, gate_of_ones, empty_path, fusion])
def test_int8_runs_the_operators_of_a_network_that_never_had_the_branch(middle, tmp_path):
    """In float, after training and quantized in training."""
    found, outputs = {}, {}
    for name, model in (("had", built(middle)), ("never", built())):
        export_float(model, IMAGE, tmp_path / name / "float")
        feeds = [{"image": samples()}]
        quantize_post_training(
            tmp_path / name / "float", tmp_path / name / "ptq", lambda feeds=feeds: iter(feeds)
        )
        quantization = prepare_quantization(model, QuantizationChoice.INT8_QAT)
        for _ in range(5):
            model(paddle.to_tensor(samples()))
        quantization.export(IMAGE, tmp_path / name / "qat")
        for choice in ("float", "ptq", "qat"):
            engine = PaddleEngine(
                tmp_path / name / choice, "float" if choice == "float" else "int8", 1
            )
            outputs[name, choice] = engine.run([samples()])
            found[name, choice] = engine.operators()
    for choice in ("float", "ptq", "qat"):
        assert found["had", choice] == found["never", choice]
        difference = output_difference(outputs["had", choice], outputs["never", choice])
        assert difference < (1e-5 if choice == "float" else 0.1), choice
    assert "quantize" in found["had", "ptq"]
    assert "quantize" in found["had", "qat"]
