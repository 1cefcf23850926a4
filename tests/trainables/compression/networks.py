"""Small networks, one for each way in which channels hang together."""

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
    """Every channel is 4 x 4 inputs of the linear layer."""

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
    """Its activations make something of nothing."""

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
