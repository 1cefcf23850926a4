"""Small networks, one for each kind of dependency between channels."""

import paddle
from paddle import nn

from trainables.task import ModelInput

IMAGE = (ModelInput("image", (3, 16, 16)),)


def conv(inputs, outputs, **options):
    return nn.Conv2D(inputs, outputs, 3, padding=1, bias_attr=False, **options)


class Pooled(nn.Layer):
    """Ends in a linear classifier; `body` comes before it."""

    def __init__(self, channels):
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2D(1)
        self.head = nn.Linear(channels, 4)

    def forward(self, x):
        return self.head(self.pool(self.body(x)).flatten(1))


class Chain(Pooled):
    def __init__(self):
        super().__init__(6)
        self.first, self.last = conv(3, 8), conv(8, 6, stride=2)

    def body(self, x):
        return self.last(self.first(x))


class Depthwise(Pooled):
    def __init__(self, multiplier=1):
        super().__init__(6)
        self.first, self.depthwise = conv(3, 8), conv(8, 8 * multiplier, groups=8)
        self.last = nn.Conv2D(8 * multiplier, 6, 1, bias_attr=False)

    def body(self, x):
        return self.last(self.depthwise(self.first(x)))


class Grouped(Pooled):
    def __init__(self):
        super().__init__(6)
        self.first, self.grouped, self.last = conv(3, 8), conv(8, 12, groups=2), conv(12, 6)

    def body(self, x):
        return self.last(self.grouped(self.first(x)))


class Transposed(Pooled):
    def __init__(self):
        super().__init__(6)
        self.first = conv(3, 8)
        self.up = nn.Conv2DTranspose(8, 12, 2, stride=2)
        self.last = conv(12, 6)

    def body(self, x):
        return self.last(self.up(self.first(x)))


class Flattened(nn.Layer):
    """Each channel becomes 4 x 4 inputs of the linear layer."""

    def __init__(self):
        super().__init__()
        self.first, self.pool = conv(3, 8), nn.MaxPool2D(4)
        self.hidden, self.head = nn.Linear(8 * 16, 10), nn.Linear(10, 4)

    def forward(self, x):
        return self.head(self.hidden(self.pool(self.first(x)).flatten(1)))


class Concat(Pooled):
    def __init__(self, left=4, right=8):
        super().__init__(6)
        self.left, self.right, self.last = conv(3, left), conv(3, right), conv(left + right, 6)

    def body(self, x):
        return self.last(paddle.concat([self.left(x), self.right(x)], axis=1))


class Residual(Pooled):
    def __init__(self):
        super().__init__(8)
        self.first, self.inner, self.outer = conv(3, 8), conv(8, 6), conv(6, 8)

    def body(self, x):
        x = self.first(x)
        return x + self.outer(nn.functional.relu(self.inner(x)))


class Shared(Pooled):
    """One convolution at two resolutions."""

    def __init__(self):
        super().__init__(8)
        self.first, self.shared = conv(3, 8), conv(8, 8)

    def body(self, x):
        x = self.shared(self.first(x))
        return self.shared(nn.functional.avg_pool2d(x, 2))


class Squashed(Pooled):
    """Its activations map 0 to another value."""

    def __init__(self):
        super().__init__(6)
        self.first, self.inner, self.last = conv(3, 8), conv(8, 8), conv(8, 6)

    def body(self, x):
        for layer in (self.first, self.inner):
            x = nn.functional.sigmoid(layer(x))
        return self.last(x)


class TwoInputs(nn.Layer):
    def __init__(self):
        super().__init__()
        self.left, self.right = conv(3, 8), conv(1, 8)
        self.head = nn.Linear(8, 4)

    def forward(self, a, b):
        return self.head((self.left(a) + self.right(b)).mean([2, 3]))


class Untraceable(Pooled):
    def __init__(self):
        super().__init__(8)
        self.first = conv(3, 8)

    def body(self, x):
        raise ValueError("a branch that depends on the data")


class Normalized(Pooled):
    """A batch norm, an instance norm and a slope for every channel."""

    def __init__(self):
        super().__init__(6)
        self.first, self.norm = conv(3, 8), nn.BatchNorm2D(8)
        self.second, self.instance, self.slope = conv(8, 8), nn.InstanceNorm2D(8), nn.PReLU(8)
        self.last = conv(8, 6)

    def body(self, x):
        return self.last(self.slope(self.instance(self.second(self.norm(self.first(x))))))


class Gated(Pooled):
    """Squeeze and excitation."""

    def __init__(self):
        super().__init__(6)
        self.first, self.last = conv(3, 8), conv(8, 6)
        self.squeeze, self.excite = nn.Conv2D(8, 4, 1), nn.Conv2D(4, 8, 1)

    def body(self, x):
        x = self.first(x)
        gate = nn.functional.relu(self.squeeze(x.mean([2, 3], keepdim=True)))
        return self.last(x * nn.functional.sigmoid(self.excite(gate)))


class Upsampled(Pooled):
    """A decoder: upsampled, concatenated with an earlier map, reduced to fewer channels."""

    def __init__(self):
        super().__init__(6)
        self.first, self.inner, self.last = conv(3, 8), conv(8, 4, stride=2), conv(12, 6)

    def body(self, x):
        x = self.first(x)
        up = nn.functional.interpolate(self.inner(x), size=x.shape[2:], mode="bilinear")
        return self.last(paddle.concat([up, x], axis=1))


class Attention(nn.Layer):
    """Attention with two heads over the positions of an image."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2D(3, 8, 4, stride=4)
        self.qkv, self.project, self.head = nn.Linear(8, 36), nn.Linear(12, 8), nn.Linear(8, 4)

    def forward(self, x):
        tokens = self.first(x).flatten(2).transpose([0, 2, 1])
        samples, count = tokens.shape[:2]
        qkv = self.qkv(tokens).reshape([samples, count, 3, 2, -1]).transpose([2, 0, 3, 1, 4])
        weights = nn.functional.softmax(paddle.matmul(qkv[0], qkv[1], transpose_y=True))
        mixed = paddle.matmul(weights, qkv[2]).transpose([0, 2, 1, 3]).flatten(2)
        return self.head((tokens + self.project(mixed)).mean(1))


class Shuffled(Pooled):
    def __init__(self):
        super().__init__(6)
        self.first, self.last = conv(3, 8), conv(8, 6)

    def body(self, x):
        x = self.first(x)
        n, c, h, w = x.shape
        x = x.reshape([n, 2, c // 2, h, w]).transpose([0, 2, 1, 3, 4]).reshape([n, c, h, w])
        return self.last(x)


class Split(Pooled):
    def __init__(self):
        super().__init__(6)
        self.first, self.left, self.right = conv(3, 8), conv(4, 6), conv(4, 6)

    def body(self, x):
        left, right = paddle.split(self.first(x), 2, axis=1)
        return self.left(left) + self.right(right)


class GroupedTransposed(Pooled):
    def __init__(self):
        super().__init__(6)
        self.first = conv(3, 8)
        self.up = nn.Conv2DTranspose(8, 12, 2, stride=2, groups=4)
        self.last = conv(12, 6)

    def body(self, x):
        return self.last(self.up(self.first(x)))


class Sequence(nn.Layer):
    """Convolutions along one axis."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv1D(3, 8, 3), nn.Conv1D(8, 6, 3)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        return self.head(self.last(self.first(x.flatten(2))).mean(2))


class Auxiliary(Pooled):
    """A second head that only training uses."""

    def __init__(self):
        super().__init__(6)
        self.first, self.last, self.second = conv(3, 8), conv(8, 6), conv(8, 4)

    def forward(self, x):
        x = self.first(x)
        out = self.head(self.pool(self.last(x)).flatten(1))
        return [out, self.second(x)] if self.training else out


class Between(Pooled):
    """A function `what` between two convolutions."""

    def __init__(self, what):
        super().__init__(6)
        self.first, self.last, self.what = conv(3, 8), conv(8, 6), what

    def body(self, x):
        return self.last(self.what(self.first(x)))


class PixelShuffled(Pooled):
    """Adds three equal tensors and shuffles channels into rows and columns."""

    def __init__(self):
        super().__init__(6)
        self.first, self.last = conv(3, 8), conv(2, 6)

    def body(self, x):
        x = self.first(x)
        return self.last(nn.functional.pixel_shuffle(paddle.add_n([x, x, x]), 2))


class Own(nn.Layer):
    """A user's own convolution layer."""

    def __init__(self, inputs, outputs, **options):
        super().__init__()
        self.kernel = self.create_parameter([outputs, inputs, 3, 3])
        self.scale = self.create_parameter(
            [outputs, 1, 1, 1], default_initializer=nn.initializer.Constant(1.5)
        )
        self.options = options

    def forward(self, x):
        # The weight is computed: labels pass through the multiplication.
        return nn.functional.conv2d(x, self.kernel * self.scale, padding=1, **self.options)


class OwnLayers(nn.Layer):
    """Convolutions and multiplications of a user's own layers."""

    def __init__(self):
        super().__init__()
        self.first, self.second = Own(3, 8), Own(8, 6)
        self.up = self.create_parameter([6, 12, 2, 2])
        self.hidden, self.out = self.create_parameter([10, 12]), self.create_parameter([10, 4])

    def forward(self, x):
        x = nn.functional.relu(self.second(nn.functional.relu(self.first(x))))
        x = nn.functional.conv2d_transpose(x, self.up, stride=2).mean([2, 3])
        x = nn.functional.relu(paddle.matmul(x, self.hidden, transpose_y=True))
        return nn.functional.linear(x, self.out)


EVERY = {
    "multiplier": lambda: Depthwise(2),
    **{
        network.__name__: network
        for network in (
            *(Attention, Auxiliary, Chain, Concat, Depthwise, Flattened, Gated, Grouped),
            *(GroupedTransposed, Normalized, OwnLayers, PixelShuffled, Residual, Sequence, Shared),
            *(Shuffled, Split, Squashed, Transposed, Upsampled),
        )
    },
}
"""Networks with the one input IMAGE, whose groups can all be pruned."""
