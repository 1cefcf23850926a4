"""Small networks with parts that can be taken out whole, and some with parts that cannot."""

import paddle
import paddle.nn.functional as F
from paddle import nn

from trainables.task import ModelInput

IMAGE = [ModelInput("image", (3, 8, 8))]


def normed(before, after, stride=1, size=3):
    return nn.Sequential(
        nn.Conv2D(before, after, size, stride, padding=size // 2, bias_attr=False),
        nn.BatchNorm2D(after),
    )


class Block(nn.Layer):
    """A residual block whose layers lie in a list that Paddle does not see."""

    def __init__(self, before=8, after=8, stride=1):
        super().__init__()
        self.steps = []
        for index, (wide, step) in enumerate([(before, stride), (after, 1)]):
            layer = normed(wide, after, step)
            self.add_sublayer(f"step{index}", layer)
            self.steps.append(layer)
        self.short = None if before == after and stride == 1 else normed(before, after, stride, 1)

    def forward(self, x):
        y = self.steps[1](F.relu(self.steps[0](x)))
        return F.relu(y + (x if self.short is None else self.short(x)))


class Network(nn.Layer):
    """A stem, a body and a classifier."""

    def __init__(self, body, channels=8):
        super().__init__()
        self.stem = normed(3, 8)
        self.body = body
        self.head = nn.Linear(channels, 5)

    def forward(self, x):
        return self.head(self.body(F.relu(self.stem(x))).mean([2, 3]))


class Excitation(nn.Layer):
    """A squeeze-and-excitation (Hu et al., CVPR 2018)."""

    def __init__(self, channels=8):
        super().__init__()
        self.down = nn.Conv2D(channels, 4, 1)
        self.up = nn.Conv2D(4, channels, 1)

    def gate(self, x):
        return F.hardsigmoid(self.up(F.relu(self.down(F.adaptive_avg_pool2d(x, 1)))))

    def forward(self, x):
        return x * self.gate(x)


class Inline(Excitation):
    """The same beside a convolution, so that no sublayer returns what it is given, scaled."""

    def __init__(self):
        super().__init__()
        self.conv = normed(8, 8)

    def forward(self, x):
        y = F.relu(self.conv(x))
        return y * self.gate(y)


class Paths(nn.Layer):
    """Two paths that are concatenated, and read together."""

    def __init__(self):
        super().__init__()
        self.left = normed(8, 8)
        self.right = nn.Sequential(normed(8, 12), nn.ReLU(), normed(12, 8))
        self.last = normed(16, 8)

    def forward(self, x):
        return F.relu(self.last(paddle.concat([F.relu(self.left(x)), F.relu(self.right(x))], 1)))


class Fusion(nn.Layer):
    """A sum of a wide map and a narrow one that is enlarged, as HRNet's."""

    def __init__(self):
        super().__init__()
        self.narrow = normed(8, 8, 2)
        self.inner = Block()
        self.fuse = normed(8, 8, 1, 1)

    def forward(self, x):
        small = self.fuse(self.inner(F.relu(self.narrow(x))))
        return F.relu(x + F.interpolate(small, scale_factor=2, mode="nearest"))


class Attention(nn.Layer):
    """A gate over places, by a layer of its own."""

    def __init__(self):
        super().__init__()
        self.conv = normed(8, 1)

    def forward(self, x):
        return x * F.sigmoid(self.conv(x))


def residual():
    return Network(nn.Sequential(Block(), Block(8, 16, 2), Block(16, 16)), 16)


def excited():
    return Network(nn.Sequential(Excitation(), Block()))


def inline():
    return Network(nn.Sequential(Inline(), Block()))


def concatenated():
    return Network(nn.Sequential(Paths(), Block()))


def fused():
    return Network(nn.Sequential(Fusion(), Block()))


def attended():
    return Network(nn.Sequential(Attention(), Block()))


FOUND = {
    residual: ("body.0.step1", "body.1.step1", "body.2.step1"),
    excited: ("body.0", "body.1.step1"),
    inline: ("body.0.up", "body.1.step1"),
    concatenated: ("body.0.right", "body.1.step1"),
    fused: ("body.0.fuse", "body.0.inner.step1", "body.1.step1"),
    attended: ("body.0", "body.1.step1"),
}
"""The branches of each network, in the order in which it runs them."""
