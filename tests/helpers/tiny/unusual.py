"""Users' tasks whose networks are legal in Paddle but rare."""

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.nn.utils import spectral_norm, weight_norm

from trainables.metrics import TopOneAccuracy
from trainables.task import Batch, ModelInput, TrainingRecipe


def conv(inputs, outputs, **options):
    return nn.Conv2D(inputs, outputs, 3, padding=1, **options)


class Network(nn.Layer):
    """Two convolutions, `first` and `second`, and a linear layer."""

    def __init__(self, norm=lambda layer: layer):
        super().__init__()
        self.first, self.second = norm(conv(3, 16)), norm(conv(16, 24))
        self.head, self.other = norm(nn.Linear(24, 5)), norm(nn.Linear(24, 3))

    def maps(self, x):
        return F.relu(self.second(F.relu(self.first(x))))

    def forward(self, x):
        return self.head(self.maps(x).mean([2, 3]))


class Dict(Network):
    def forward(self, x):
        x = self.maps(x).mean([2, 3])
        return {"sizes": self.other(x), "scores": self.head(x), "none": None}


class Nested(Network):
    def forward(self, x):
        x = self.maps(x).mean([2, 3])
        sizes = self.other(x)
        return self.head(x), [sizes, (2 * sizes, None)]


class Listed(Network):
    def __init__(self):
        super().__init__()
        self.gates = nn.ParameterList([self.create_parameter([1, 16, 1, 1]) for _ in range(2)])

    def maps(self, x):
        x = self.first(x)
        for gate in self.gates:
            x = F.relu(x * (gate + 1))
        return F.relu(self.second(x))


class Sequences(nn.Layer):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(10, 8)
        self.first, self.norm = nn.Conv1D(8, 16, 3, padding=1), nn.BatchNorm1D(16)
        self.second, self.head = nn.Conv1D(16, 24, 3, padding=1), nn.Linear(24, 5)

    def forward(self, x):
        x = F.relu(self.norm(self.first(self.table(x).transpose([0, 2, 1]))))
        return self.head(F.relu(self.second(x)).mean(-1))


class ChannelsLast(nn.Layer):
    def __init__(self):
        super().__init__()
        last = {"data_format": "NHWC"}
        self.first, self.norm = conv(3, 16, **last), nn.BatchNorm2D(16, **last)
        self.pool, self.second = nn.MaxPool2D(2, **last), conv(16, 24, **last)
        self.head = nn.Linear(24, 5)

    def forward(self, x):
        x = self.pool(F.relu(self.norm(self.first(x.transpose([0, 2, 3, 1])))))
        return self.head(F.relu(self.second(x)).mean([1, 2]))


class OwnConv(nn.Layer):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = self.create_parameter([outputs, inputs, 3, 3])

    def forward(self, x):
        return F.conv2d(x, self.weight, padding=1)


class OwnLayers(nn.Layer):
    """A network without any of Paddle's layers."""

    def __init__(self):
        super().__init__()
        self.first, self.second = OwnConv(3, 16), OwnConv(16, 24)
        self.weight = self.create_parameter([24, 5])

    def forward(self, x):
        return paddle.matmul(F.relu(self.second(F.relu(self.first(x)))).mean([2, 3]), self.weight)


NETWORKS = {
    "weight norm": lambda: Network(weight_norm),
    "spectral norm": lambda: Network(spectral_norm),
    "dict": Dict,
    "nested": Nested,
    "listed": Listed,
    "sequences": Sequences,
    "channels last": ChannelsLast,
    "own layers": OwnLayers,
}


class Unusual:
    name, protected_layers, metric = "unusual", (), TopOneAccuracy()
    recipe = TrainingRecipe(batch_size=8)

    def __init__(self, network):
        self.network = network
        words = network == "sequences"
        self.inputs = (
            ModelInput("words", (12,), "int64") if words else ModelInput("image", (3, 16, 16)),
        )

    def build_model(self):
        paddle.seed(0)
        return NETWORKS[self.network]()

    def batch(self, count, seed):
        rng = np.random.default_rng(seed)
        (spec,) = self.inputs
        whole = spec.dtype == "int64"
        shape = (count, *spec.shape)
        values = rng.integers(0, 10, shape) if whole else rng.standard_normal(shape, "float32")
        return Batch((values,), rng.integers(0, 5, (count, 1)))

    def train_batches(self, batch_size, seed):
        for index in range(4):
            yield self.batch(batch_size, 10 * seed + index)

    def eval_batches(self, split, batch_size):
        for index in range(3):
            yield self.batch(batch_size, index)

    def loss(self, outputs, targets):
        if isinstance(outputs, dict):
            outputs = outputs["scores"]
        return F.cross_entropy(outputs[0] if isinstance(outputs, tuple) else outputs, targets)


def make_task(network):
    return Unusual(network)
