import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn

from spaces.plan import QuantizationChoice
from trainables.compression.quantization import prepare_quantization
from trainables.compression.slim import quantize_post_training
from trainables.deployment.engines.paddle_inference import (
    WITHOUT_CONCATENATION,
    WITHOUT_MATRIX_PRODUCTS,
    WITHOUT_POOLING,
    PaddleEngine,
)
from trainables.deployment.export import export_float, output_difference
from trainables.task import ModelInput

IMAGE = [ModelInput("image", (3, 16, 16))]


class UnevenBins(nn.Layer):
    """Pools 16 pixels into 3 bins, as in pyramid pooling; oneDNN has no INT8 kernel for it."""

    def __init__(self):
        super().__init__()
        self.conv, self.narrow, self.head = nn.Conv2D(3, 8, 3), nn.Conv2D(8, 8, 1), nn.Linear(8, 4)

    def forward(self, x):
        x = F.relu(self.conv(F.pad(x, [1, 1, 1, 1])))
        bins = self.narrow(F.adaptive_avg_pool2d(x, 3))
        x = x + F.interpolate(bins, size=[16, 16], mode="bilinear")
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Plain(nn.Layer):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2D(3, 8, 3, padding=1), nn.Linear(8, 4)

    def forward(self, x):
        return self.head(F.adaptive_avg_pool2d(F.relu(self.conv(x)), 1).flatten(1))


class Upsampling(nn.Layer):
    """A transposed convolution, as at the end of DB; the engine has no INT8 kernel for it."""

    def __init__(self):
        super().__init__()
        self.conv, self.up = nn.Conv2D(3, 8, 3, padding=1), nn.Conv2DTranspose(8, 8, 2, stride=2)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = self.up(F.relu(self.conv(x)))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Skip(nn.Layer):
    """Concatenates a map with one that was downsampled and upsampled, as UNet does."""

    def __init__(self):
        super().__init__()
        self.wide, self.low = (self.block(3), self.block(8))
        self.last, self.head = self.block(16), nn.Conv2D(8, 2, 1)

    def block(self, channels):
        convolution = nn.Conv2D(channels, 8, 3, padding=1, bias_attr=False)
        return nn.Sequential(convolution, nn.BatchNorm2D(8), nn.ReLU())

    def forward(self, x):
        wide = self.wide(x)
        low = self.low(F.max_pool2d(wide, 2, 2))
        low = F.interpolate(low, paddle.shape(wide)[2:], mode="bilinear")
        return self.head(self.last(paddle.concat([low, wide], axis=1)))


class Attention(nn.Layer):
    """Self-attention over the places of a map, as ANN (three axes) and TopFormer (four) have it."""

    def __init__(self, heads, positive=False):
        super().__init__()
        self.heads, self.positive = heads, positive
        self.query, self.key, self.value = (nn.Conv2D(3, 8, 1) for _ in range(3))

    def forward(self, x):
        flat = [0, 8, -1] if self.heads is None else [-1, self.heads, 8 // self.heads, 256]
        swap = [0, 2, 1] if self.heads is None else [0, 1, 3, 2]
        query = self.query(x).reshape(flat).transpose(swap)
        value = self.value(x)
        value = (F.relu(value) if self.positive else value).reshape(flat).transpose(swap)
        return F.softmax(query @ self.key(x).reshape(flat)) @ value


@pytest.mark.parametrize("heads", [None, 2])
def test_self_attention_is_computed_as_the_model_does(heads, tmp_path):
    """A pass of Paddle 3.1.1, deleted here, makes these outputs wrong by all of their spread."""
    paddle.seed(0)
    model = Attention(heads)
    samples = np.random.default_rng(0).standard_normal((4, 3, 16, 16)).astype("float32")
    export_float(model, IMAGE, tmp_path)
    outputs = PaddleEngine(tmp_path, "float", 1).run([samples])
    assert output_difference(outputs, [model(paddle.to_tensor(samples)).numpy()]) < 1e-5


def quantized(network, folder):
    paddle.seed(0)
    model = network()
    samples = np.random.default_rng(0).standard_normal((8, 3, 16, 16)).astype("float32")
    export_float(model, IMAGE, folder / "float")
    feeds = [{"image": samples}]
    quantize_post_training(folder / "float", folder / "int8", lambda: iter(feeds))
    return folder / "int8", samples


@pytest.mark.parametrize("network, operators", [(UnevenBins, WITHOUT_POOLING), (Plain, None)])
def test_pooling_is_left_in_float_only_where_it_has_to_be(network, operators, tmp_path):
    folder, samples = quantized(network, tmp_path)
    engine = PaddleEngine(folder, "int8", 1)
    outputs = engine.run([samples])
    assert engine.int8_operators == operators
    assert output_difference(outputs, PaddleEngine(folder, None, 1).run([samples])) < 0.2
    # A second run with another batch size.
    assert engine.run([samples[:3]])[0].shape == (3, 4)


class Gated(nn.Layer):
    """A squeeze-and-excitation, whose mean is quantized in training and whose map is not."""

    def __init__(self):
        super().__init__()
        self.conv, self.gate = nn.Conv2D(3, 8, 3, padding=1), nn.Conv2D(8, 8, 1)
        self.head = nn.Conv2D(8, 4, 1)

    def forward(self, x):
        x = F.relu(self.conv(x))
        x = x * F.hardsigmoid(self.gate(F.adaptive_avg_pool2d(x, 1)))
        return self.head(x)[:, :, 0, 0]


def test_the_map_of_a_gate_does_not_get_the_scale_of_its_mean(tmp_path):
    paddle.seed(0)
    model = Gated()
    model.gate.weight.set_value(100 * model.gate.weight)
    quantization = prepare_quantization(model, QuantizationChoice.INT8_QAT)
    # A few large values: their mean is far below them.
    samples = np.random.default_rng(0).random((8, 3, 16, 16)).astype("float32") ** 20
    samples[:, :, 0, 0] = 1
    for _ in range(3):
        model(paddle.to_tensor(samples))
    quantization.export(IMAGE, tmp_path)
    engine = PaddleEngine(tmp_path, "int8", 1)
    assert engine.int8_operators == WITHOUT_POOLING
    expected = PaddleEngine(tmp_path, None, 1).run([samples])
    assert output_difference(engine.run([samples]), expected) < 0.2
    # With the pooling in INT8, as the engine would have it.
    engine._untried = [None]
    engine._create_next()
    assert output_difference(engine._run([samples]), expected) > 0.3
    folder, samples = quantized(Gated, tmp_path / "after")
    assert PaddleEngine(folder, "int8", 1).int8_operators is None


def test_concatenations_are_left_in_float_where_they_have_to_be(tmp_path):
    paddle.seed(0)
    model = Skip()
    quantization = prepare_quantization(model, QuantizationChoice.INT8_QAT)
    samples = np.random.default_rng(0).standard_normal((8, 3, 16, 16)).astype("float32")
    for _ in range(20):
        model(paddle.to_tensor(samples))
    model.eval()
    expected = model(paddle.to_tensor(samples)).numpy()
    quantization.export(IMAGE, tmp_path)
    engine = PaddleEngine(tmp_path, "int8", 1)
    assert output_difference(engine.run([samples]), [expected]) < 0.3
    assert engine.int8_operators == WITHOUT_CONCATENATION


def test_products_of_a_matrix_with_a_sign_and_one_without_stay_in_float(tmp_path):
    """Loading such a model in INT8 fails, not its first run."""
    folder, samples = quantized(lambda: Attention(None, positive=True), tmp_path)
    engine = PaddleEngine(folder, "int8", 1)
    outputs = engine.run([samples])
    assert engine.int8_operators == WITHOUT_MATRIX_PRODUCTS
    assert engine.quantizations() > 0
    assert output_difference(outputs, PaddleEngine(folder, None, 1).run([samples])) < 0.2


def test_transposed_convolutions_stay_in_float(tmp_path):
    folder, samples = quantized(Upsampling, tmp_path)
    (outputs,) = PaddleEngine(folder, "int8", 1).run([samples])
    assert outputs.shape == (8, 4)


def test_a_model_that_cannot_run_at_all_raises(tmp_path):
    folder, samples = quantized(Plain, tmp_path)
    engine = PaddleEngine(folder, "int8", 1)
    with pytest.raises(Exception, match=r"(?i)error|shape|channel"):
        engine.run([samples[:, :2]])
    with pytest.raises(Exception, match=r"(?i)error|shape|channel"):
        PaddleEngine(folder, "float", 1).run([samples[:, :2]])


def test_quantizations_are_counted_in_the_program_that_runs(tmp_path):
    """Without scales in the file the engine computes in floats, despite its INT8 switch."""
    folder, _ = quantized(Plain, tmp_path)
    assert PaddleEngine(folder, "int8", 1).quantizations() > 0
    assert PaddleEngine(tmp_path / "float", "int8", 1).quantizations() == 0
