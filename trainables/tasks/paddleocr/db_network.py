"""DB on MobileNetV3: PaddleOCR's detector of text lines.

PaddleOCR's wheel has no networks, so they are implemented here from the papers: MobileNetV3 (Howard
et al., ICCV 2019), feature pyramids (Lin et al., CVPR 2017), differentiable binarization (Liao et
al., AAAI 2020). Layers have PaddleOCR's names, so that its published weights load.
"""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import nn

from trainables.tasks.paddleocr.mobilenet_v3 import (
    LARGE,
    SMALL,
    STEM,
    ConvBNLayer,
    ResidualUnit,
    scaled,
)

# Blocks, the first block whose stride ends a stage, and the last convolution's channels.
VARIANTS = {"large": (LARGE, 3, 960), "small": (SMALL, 1, 576)}
# The factor k of differentiable binarization (Liao et al., AAAI 2020).
SHARPNESS = 50


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
