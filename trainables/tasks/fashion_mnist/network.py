"""A small residual network, wide enough that its latency depends on its arithmetic."""

import paddle
import paddle.nn.functional as F
from paddle import nn


class ResidualBlock(nn.Layer):
    """Two 3x3 convolutions with a shortcut (He et al., CVPR 2016)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2D(
            in_channels, out_channels, 3, stride=stride, padding=1, bias_attr=False
        )
        self.bn1 = nn.BatchNorm2D(out_channels)
        self.conv2 = nn.Conv2D(out_channels, out_channels, 3, padding=1, bias_attr=False)
        self.bn2 = nn.BatchNorm2D(out_channels)
        if stride == 1 and in_channels == out_channels:
            self.shortcut = None
        else:
            self.shortcut = nn.Sequential(
                nn.Conv2D(in_channels, out_channels, 1, stride=stride, bias_attr=False),
                nn.BatchNorm2D(out_channels),
            )

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class ResidualNetwork(nn.Layer):
    """Class scores, shape (n, 10), of images of shape (n, 1, 28, 28).

    The stem halves the resolution: on 28x28 maps training is bound by memory traffic, and pruning
    saves little (LOG: the built-in network). The last block has an identity shortcut: in INT8,
    oneDNN 3.1 has no kernel for a pooling after a sum of two convolutions.
    """

    def __init__(
        self, width: int = 32, blocks: tuple[int, ...] = (2, 2, 2), classes: int = 10
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2D(1, width, 3, stride=2, padding=1, bias_attr=False),
            nn.BatchNorm2D(width),
            nn.ReLU(),
        )
        layers: list[nn.Layer] = []
        channels = width
        for stage, count in enumerate(blocks):
            for block in range(count):
                stride = 2 if stage and not block else 1
                layers.append(ResidualBlock(channels, width * 2**stage, stride))
                channels = width * 2**stage
        self.blocks = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        features = self.blocks(self.stem(x))
        pooled = F.adaptive_avg_pool2d(features, 1)
        return self.classifier(pooled.flatten(1))
