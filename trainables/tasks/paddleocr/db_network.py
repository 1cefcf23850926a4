"""DB on MobileNetV3: PaddleOCR's detector of text lines.

PaddleOCR's wheel has no networks, so they are implemented here from the papers: MobileNetV3 (Howard
et al., ICCV 2019), feature pyramids (Lin et al., CVPR 2017), differentiable binarization (Liao et
al., AAAI 2020). Layers have PaddleOCR's names, so that its published weights load.
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
    stride: int


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
# Blocks, the first block whose stride ends a stage, and the last convolution's channels.
VARIANTS = {"large": (LARGE, 3, 960), "small": (SMALL, 1, 576)}
# Channels of the first convolution (Howard et al., ICCV 2019).
STEM = 16
# The factor k of differentiable binarization (Liao et al., AAAI 2020).
SHARPNESS = 50


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
        stride: int = 1,
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
        return x * F.hardsigmoid(self.conv2(squeezed))


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


class MobileNetV3(nn.Layer):
    """Maps at 1/4, 1/8, 1/16 and 1/32 of the resolution."""

    def __init__(self, variant: str, scale: float, squeeze_excitation: bool) -> None:
        super().__init__()
        blocks, first_end, last = VARIANTS[variant]
        inputs = scaled(STEM, scale)
        self.conv = ConvBNLayer(3, inputs, 3, 2, hard_swish=True)
        self.widths: list[int] = []
        stages: list[list[nn.Layer]] = [[]]
        for index, block in enumerate(blocks):
            if block.stride == 2 and index >= first_end:
                self.widths.append(inputs)
                stages.append([])
            if not squeeze_excitation:
                block = block._replace(squeeze_excitation=False)
            stages[-1].append(ResidualUnit(inputs, block, scale))
            inputs = scaled(block.channels, scale)
        self.widths.append(scaled(last, scale))
        stages[-1].append(ConvBNLayer(inputs, self.widths[-1], hard_swish=True))
        self.depth = len(stages)
        for number, stage in enumerate(stages):
            self.add_sublayer(f"stage{number}", nn.Sequential(*stage))

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        x = self.conv(x)
        maps = []
        for number in range(self.depth):
            x = getattr(self, f"stage{number}")(x)
            maps.append(x)
        return maps


class DBFPN(nn.Layer):
    """The feature pyramid: one map, (n, channels, h/4, w/4)."""

    def __init__(self, widths: list[int], channels: int) -> None:
        super().__init__()
        for number, width in enumerate(widths, 2):
            setattr(self, f"in{number}_conv", nn.Conv2D(width, channels, 1, bias_attr=False))
            narrow = nn.Conv2D(channels, channels // 4, 3, padding=1, bias_attr=False)
            setattr(self, f"p{number}_conv", narrow)

    def forward(self, maps: list[paddle.Tensor]) -> paddle.Tensor:
        in5 = self.in5_conv(maps[3])
        out4 = self.in4_conv(maps[2]) + F.upsample(in5, scale_factor=2)
        out3 = self.in3_conv(maps[1]) + F.upsample(out4, scale_factor=2)
        out2 = self.in2_conv(maps[0]) + F.upsample(out3, scale_factor=2)
        p5 = F.upsample(self.p5_conv(in5), scale_factor=8)
        p4 = F.upsample(self.p4_conv(out4), scale_factor=4)
        p3 = F.upsample(self.p3_conv(out3), scale_factor=2)
        return paddle.concat([p5, p4, p3, self.p2_conv(out2)], axis=1)


class Head(nn.Layer):
    """One value from 0 to 1 per pixel of the image, (n, 1, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = channels // 4
        self.conv1 = nn.Conv2D(channels, narrow, 3, padding=1, bias_attr=False)
        self.conv_bn1 = nn.BatchNorm2D(narrow)
        self.conv2 = nn.Conv2DTranspose(narrow, narrow, 2, 2)
        self.conv_bn2 = nn.BatchNorm2D(narrow)
        self.conv3 = nn.Conv2DTranspose(narrow, 1, 2, 2)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        x = F.relu(self.conv_bn1(self.conv1(x)))
        x = F.relu(self.conv_bn2(self.conv2(x)))
        return F.sigmoid(self.conv3(x))


class DBHead(nn.Layer):
    """The cores of text lines; in training also thresholds and the binary map from both."""

    def __init__(self, channels: int, sharpness: float) -> None:
        super().__init__()
        self.sharpness = sharpness
        self.binarize = Head(channels)
        self.thresh = Head(channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        cores = self.binarize(x)
        if not self.training:
            return cores
        thresholds = self.thresh(x)
        binary = F.sigmoid(self.sharpness * (cores - thresholds))
        return paddle.concat([cores, thresholds, binary], axis=1)


class DBNetwork(nn.Layer):
    """The map of text lines, (n, 1, h, w), in training (n, 3, h, w); h, w multiples of 32."""

    def __init__(
        self,
        variant: str = "large",
        scale: float = 0.5,
        squeeze_excitation: bool = True,
        neck_channels: int = 256,
        sharpness: float = SHARPNESS,
    ) -> None:
        super().__init__()
        self.backbone = MobileNetV3(variant, scale, squeeze_excitation)
        self.neck = DBFPN(self.backbone.widths, neck_channels)
        self.head = DBHead(neck_channels, sharpness)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.head(self.neck(self.backbone(x)))
