"""The blocks of MobileNetV3 (Howard et al., ICCV 2019), of PaddleOCR's detectors and recognisers.

Layers have PaddleOCR's names, so that its published weights load.
"""

from __future__ import annotations

from typing import NamedTuple

import paddle
import paddle.nn.functional as F
from paddle import nn


class Block(NamedTuple):
    kernel: int
    expanded: int
    channels: int
    squeeze_excitation: bool
    hard_swish: bool
    """Whether the activation is hard swish or ReLU."""
    stride: int | tuple[int, int]
    """Of rows and columns; one number is that of both."""


LARGE = (
    Block(3, 16, 16, False, False, 1),
    Block(3, 64, 24, False, False, 2),
    Block(3, 72, 24, False, False, 1),
    Block(5, 72, 40, True, False, 2),
    Block(5, 120, 40, True, False, 1),
    Block(5, 120, 40, True, False, 1),
    Block(3, 240, 80, False, True, 2),
    Block(3, 200, 80, False, True, 1),
    Block(3, 184, 80, False, True, 1),
    Block(3, 184, 80, False, True, 1),
    Block(3, 480, 112, True, True, 1),
    Block(3, 672, 112, True, True, 1),
    Block(5, 672, 160, True, True, 2),
    Block(5, 960, 160, True, True, 1),
    Block(5, 960, 160, True, True, 1),
)
SMALL = (
    Block(3, 16, 16, True, False, 2),
    Block(3, 72, 24, False, False, 2),
    Block(3, 88, 24, False, False, 1),
    Block(5, 96, 40, True, True, 2),
    Block(5, 240, 40, True, True, 1),
    Block(5, 240, 40, True, True, 1),
    Block(5, 120, 48, True, True, 1),
    Block(5, 144, 48, True, True, 1),
    Block(5, 288, 96, True, True, 2),
    Block(5, 576, 96, True, True, 1),
    Block(5, 576, 96, True, True, 1),
)
# Channels of the first convolution (Howard et al., ICCV 2019).
STEM = 16
# Slope of the hard sigmoid that gates channels; PaddleOCR's value. The paper's is 1 / 6.
GATE_SLOPE = 0.2


def scaled(channels: int, scale: float) -> int:
    """Return scaled channels as the nearest multiple of 8 that is at most a tenth too small."""
    wanted = channels * scale
    nearest = max(8, int(wanted + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * wanted else nearest


class ConvBNLayer(nn.Layer):
    """A convolution, a batch norm and an activation: hard swish, ReLU or, with None, none."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int | tuple[int, int] = 1,
        groups: int = 1,
        hard_swish: bool | None = None,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2D(
            inputs, outputs, kernel, stride, (kernel - 1) // 2, groups=groups, bias_attr=False
        )
        self.bn = nn.BatchNorm2D(outputs)
        self.activation: nn.Layer | None = None
        if hard_swish is not None:
            self.activation = nn.Hardswish() if hard_swish else nn.ReLU()

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = self.bn(self.conv(x))
        return x if self.activation is None else self.activation(x)


class SEModule(nn.Layer):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2D(channels, channels // 4, 1)
        self.conv2 = nn.Conv2D(channels // 4, channels, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        squeezed = F.relu(self.conv1(F.adaptive_avg_pool2d(x, 1)))
        return x * F.hardsigmoid(self.conv2(squeezed), slope=GATE_SLOPE)


class ResidualUnit(nn.Layer):
    def __init__(self, inputs: int, block: Block, scale: float) -> None:
        super().__init__()
        middle, outputs = scaled(block.expanded, scale), scaled(block.channels, scale)
        self.is_residual = block.stride == 1 and inputs == outputs
        self.expand_conv = ConvBNLayer(inputs, middle, hard_swish=block.hard_swish)
        self.bottleneck_conv = ConvBNLayer(
            middle,
            middle,
            block.kernel,
            block.stride,
            groups=middle,
            hard_swish=block.hard_swish,
        )
        self.mid_se = SEModule(middle) if block.squeeze_excitation else None
        self.linear_conv = ConvBNLayer(middle, outputs)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = self.bottleneck_conv(self.expand_conv(x))
        if self.mid_se is not None:
            y = self.mid_se(y)
        y = self.linear_conv(y)
        return x + y if self.is_residual else y
