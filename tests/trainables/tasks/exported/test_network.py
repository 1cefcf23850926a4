"""Networks rebuilt from exports compute what the exports do, and can be pruned and trained."""

from functools import partial

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn
from paddle.vision import models as zoo

from spaces.errors import TaskError
from tests.trainables.compression.networks import (
    IMAGE,
    Attention,
    Between,
    Chain,
    Concat,
    Depthwise,
    Flattened,
    Gated,
    Grouped,
    GroupedTransposed,
    Normalized,
    PixelShuffled,
    Residual,
    Sequence,
    Shared,
    Shuffled,
    Split,
    Transposed,
    TwoInputs,
    Upsampled,
)
from tests.trainables.tasks.exported.exports import difference, export, rebuilt, samples
from trainables.compression.graph.groups import survey_groups
from trainables.compression.pruner import ChannelPruner
from trainables.deployment.engines.paddle_inference import PaddleEngine
from trainables.deployment.export import export_float
from trainables.task import ModelInput
from trainables.tasks.exported.network import build_network, settle
from trainables.tasks.exported.program import read_program
from trainables.tasks.fashion_mnist.network import ResidualNetwork
from trainables.tasks.paddleocr.db_network import DBNetwork

TWO = (ModelInput("left", (3, 16, 16)), ModelInput("right", (1, 16, 16)))
LINE = (ModelInput("line", (3, 16)),)
SMALL = (ModelInput("image", (3, 32, 32)),)
NETWORKS = {
    **{kind.__name__: (kind, IMAGE) for kind in (Chain, Concat, Depthwise, Flattened, Gated)},
    **{kind.__name__: (kind, IMAGE) for kind in (Grouped, GroupedTransposed, Normalized)},
    **{kind.__name__: (kind, IMAGE) for kind in (PixelShuffled, Residual, Shared, Shuffled)},
    **{kind.__name__: (kind, IMAGE) for kind in (Split, Transposed, Upsampled, Attention)},
    "TwoInputs": (TwoInputs, TWO),
    "Sequence": (Sequence, LINE),
    "fashion_mnist": (ResidualNetwork, (ModelInput("image", (1, 28, 28)),)),
    "DB": (partial(DBNetwork, "small", 0.35, True, 24, 50.0), (ModelInput("x", (3, 64, 64)),)),
    "LeNet": (zoo.LeNet, (ModelInput("image", (1, 28, 28)),)),
    "MobileNetV1": (partial(zoo.mobilenet_v1, scale=0.25, num_classes=4), SMALL),
    "MobileNetV2": (partial(zoo.mobilenet_v2, scale=0.25, num_classes=4), SMALL),
    "MobileNetV3": (partial(zoo.mobilenet_v3_small, scale=0.5, num_classes=4), SMALL),
    "ShuffleNetV2": (partial(zoo.shufflenet_v2_x0_25, num_classes=4), SMALL),
    "SqueezeNet": (partial(zoo.squeezenet1_1, num_classes=4), (ModelInput("x", (3, 64, 64)),)),
}


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """Returns a network in Python, its export's folder and its inputs, by name."""
    made = {}

    def get(name):
        if name not in made:
            kind, inputs = NETWORKS[name]
            paddle.seed(0)
            model = kind()
            made[name] = model, export(model, inputs, tmp_path_factory.mktemp(name)), inputs
        return made[name]

    return get


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_the_exports(exports, name):
    _, folder, inputs = exports(name)
    network = rebuilt(folder)
    for count in (1, 3):
        assert difference(folder, network, samples(inputs, count)) < 1e-5


def channels(survey):
    return sorted(group.channels for group in survey.groups)


@pytest.mark.parametrize("name", NETWORKS)
def test_groups_are_those_of_the_model_in_python(exports, name):
    model, folder, inputs = exports(name)
    found, wanted = (
        survey_groups(make, inputs, (), samples(inputs))
        for make in (lambda: rebuilt(folder), lambda: model)
    )
    assert channels(found) == channels(wanted)
    run = {f"{layer.name}.weight" for layer in wanted.layers}
    excluded = [one for one in wanted.excluded if one.name in run]
    assert len(found.excluded) == len(excluded)
    assert sum(layer.multiply_adds for layer in found.layers) == sum(
        layer.multiply_adds for layer in wanted.layers
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_a_pruned_export_gives_what_the_masked_one_gives(exports, name, tmp_path):
    _, folder, inputs = exports(name)
    arrays = [array.astype("f4") for array in samples(inputs)]
    network = rebuilt(folder)
    groups = survey_groups(lambda: network, inputs, (), arrays).groups
    pruner = ChannelPruner(network, inputs)
    ratios = {group.name: 0.4 for group in groups}
    with pruner.mask(ratios):
        wanted = network(*map(paddle.to_tensor, arrays)).numpy()
    pruner.prune(ratios)
    export_float(network, inputs, tmp_path)
    (found,) = PaddleEngine(tmp_path, "float", 1).run(arrays)
    assert np.abs(found - wanted).max() <= 1e-4 * wanted.std()


@pytest.mark.parametrize("name", ("MobileNetV3", "Attention", "Transposed"))
def test_every_trained_weight_of_the_model_gets_a_gradient(exports, name):
    model, folder, inputs = exports(name)
    network = rebuilt(folder)
    network.train()
    (network(*map(paddle.to_tensor, samples(inputs))) ** 2).mean().backward()
    trained = {n: p for n, p in network.named_parameters() if not p.stop_gradient}
    assert all(parameter.grad is not None for parameter in trained.values())
    count = sum(p.size for p in trained.values())
    assert count == sum(p.size for p in model.parameters() if not p.stop_gradient)


def test_layers_have_the_names_of_their_weights_in_the_export(exports):
    _, folder, _ = exports("fashion_mnist")
    stored = {name for name in read_program(folder).weights if name.startswith("conv2d")}
    named = {name for name, layer in rebuilt(folder).named_sublayers() if "conv2d" in name}
    assert named == {name.removesuffix(".w_0") for name in stored}


@pytest.mark.parametrize("size", ((32, 32), (64, 32), (40, 56)))
def test_other_image_sizes_than_that_of_the_first_run(tmp_path, size):
    paddle.seed(0)
    model = zoo.mobilenet_v3_small(scale=0.35, num_classes=4)
    export(model, (ModelInput("image", (3, -1, -1)),), tmp_path)
    network = rebuilt(tmp_path, SMALL)
    arrays = samples((ModelInput("image", (3, *size)),), 3)
    assert difference(tmp_path, network, arrays) < 1e-5


def functions(x):
    """Operators that the networks above do not use."""
    y = F.leaky_relu(x) + F.elu(x) + F.gelu(x) + F.softplus(x) + F.hardtanh(x) + F.mish(x)
    y = y * paddle.clip(x, -1, 1) - paddle.pow(paddle.abs(x), 1.5) / (2 + paddle.exp(-x.abs()))
    y = paddle.maximum(y, F.log_softmax(x, 1)) + paddle.minimum(x.tanh(), F.softsign(x))
    y = y + F.interpolate(F.max_pool2d(x, 2, ceil_mode=True), scale_factor=2, mode="bilinear")
    y = y + F.interpolate(F.avg_pool2d(x, 2), size=paddle.shape(x)[2:], mode="nearest")
    y = F.pad(y, [1, 1, 1, 1], mode="reflect")[:, :, 1:-1, 1:-1]
    first, second = paddle.split(y, [3, 5], axis=1)
    y = paddle.concat([second, first], 1) * paddle.rsqrt(1 + x.mean([2, 3], keepdim=True).square())
    y = paddle.stack([y, x]).sum(0) + paddle.expand(x[:, :1], [-1, 8, -1, -1]) + x.max()
    y = y.transpose([0, 2, 3, 1]).flatten(1, 2).reshape([0, 16, 16, 8]).transpose([0, 3, 1, 2])
    y = paddle.where(y > 0.1, y, 0.5 * x) + paddle.tile(x[:, :4], [1, 2, 1, 1])
    y = y + F.swish(x).roll(1, 2).flip([3]) + paddle.full_like(x, 2.0) + F.thresholded_relu(x)
    y = y + paddle.cumsum(x, 3) + F.one_hot(x.argmax(1), 8).transpose([0, 3, 1, 2])
    return y + paddle.topk(x, 1, axis=1)[0] + x.astype("int32").astype("float32")


def test_operators_beyond_those_of_networks(tmp_path):
    paddle.seed(0)
    export(Between(functions), IMAGE, tmp_path)
    assert difference(tmp_path, rebuilt(tmp_path), samples(IMAGE, 3)) < 1e-5


def test_an_operator_that_is_not_known_is_named_in_one_line(tmp_path):
    export(Between(lambda x: paddle.linalg.qr(x)[0] + x), IMAGE, tmp_path)
    with pytest.raises(TaskError, match=r"operator qr is not supported") as caught:
        build_network(read_program(tmp_path))
    assert "\n" not in str(caught.value)


def test_the_middle_of_a_model_can_be_its_end(exports):
    _, folder, inputs = exports("MobileNetV3")
    program = read_program(folder)
    inner = next(op.output() for op in program.operations if op.type == "hard_swish")
    plans = settle(program, samples(inputs), outputs=(inner,))
    network = build_network(program, plans, outputs=(inner,), matched=program.outputs)
    network.eval()
    assert network(*map(paddle.to_tensor, samples(inputs))).shape == [2, 8, 16, 16]
    network.train()
    assert network(*map(paddle.to_tensor, samples(inputs))).shape == [2, 4]


class Folded(Residual):
    """One norm on three convolutions."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2D(8)

    def body(self, x):
        return self.norm(super().body(x))


@pytest.mark.parametrize(("kind", "is_frozen"), ((Folded, True), (ResidualNetwork, False)))
def test_norms_that_folding_has_left_keep_their_statistics_in_training(kind, is_frozen, tmp_path):
    paddle.seed(0)
    inputs = IMAGE if kind is Folded else (ModelInput("image", (1, 28, 28)),)
    network = rebuilt(export(kind(), inputs, tmp_path))
    norms = [layer for layer in network.sublayers() if isinstance(layer, nn.BatchNorm2D)]
    before = [layer._mean.numpy().copy() for layer in norms]
    network.train()
    network(*map(paddle.to_tensor, samples(inputs)))
    pairs = zip(norms, before, strict=True)
    same = all(np.array_equal(layer._mean.numpy(), mean) for layer, mean in pairs)
    assert before and same == is_frozen
