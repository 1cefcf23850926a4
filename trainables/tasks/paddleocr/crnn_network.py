"""CRNN on MobileNetV3: PaddleOCR's recogniser of text lines.

Implemented from the papers, as db_network.py: MobileNetV3 (Howard et al., ICCV 2019), recurrent
layers over the columns of its map (Shi et al., TPAMI 2017), scores for CTC (Graves et al., ICML
2006). Layers have PaddleOCR's names, so that its published weights load.
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.nn.initializer import Uniform

from trainables.tasks.paddleocr.mobilenet_v3 import (
    LARGE,
    SMALL,
    STEM,
    ConvBNLayer,
    ResidualUnit,
    scaled,
)

# Blocks, the numbers of those with a stride, and the last convolution's channels. They stride over
# rows only, to keep the line's width, except for the large network's first.
VARIANTS = {"large": (LARGE, (0, 1, 3, 12), 960), "small": (SMALL, (0, 1, 3, 8), 576)}
# PaddleOCR's defaults.
STRIDES = {"large": (1, 2, 2, 2), "small": (2, 2, 2, 2)}
HIDDEN_SIZE = 48
HEAD_DECAY = 0.0004


def pairs(variant: str, strides: Sequence[int]) -> list[int | tuple[int, int]]:
    """Return the strides of a variant's blocks as PaddleOCR applies them."""
    # A pair is never a stride of 1 to PaddleOCR: such a block has no shortcut.
    rows: list[int | tuple[int, int]] = [(stride, 1) for stride in strides]
    return [strides[0], *rows[1:]] if variant == "large" else rows


def map_size(height: int, width: int, variant: str, strides: Sequence[int]) -> tuple[int, int]:
    """Return the rows and columns of the map that the network makes of a line of this size."""
    rows, columns = -(-height // 2), -(-width // 2)
    for stride in pairs(variant, strides):
        down, across = (stride, stride) if isinstance(stride, int) else stride
        rows, columns = -(-rows // down), -(-columns // across)
    return rows // 2, columns // 2


class MobileNetV3(nn.Layer):
    """One map, (n, channels, rows, columns), of the size that `map_size` says."""

    def __init__(
        self, variant: str, scale: float, strides: Sequence[int], squeeze_excitation: bool
    ) -> None:
        super().__init__()
        blocks, places, last = VARIANTS[variant]
        stride_of = dict(zip(places, pairs(variant, strides), strict=True))
        inputs = scaled(STEM, scale)
        self.conv1 = ConvBNLayer(3, inputs, 3, 2, hard_swish=True)
        units = []
        for index, block in enumerate(blocks):
            block = block._replace(
                stride=stride_of.get(index, 1),
                squeeze_excitation=block.squeeze_excitation and squeeze_excitation,
            )
            units.append(ResidualUnit(inputs, block, scale))
            inputs = scaled(block.channels, scale)
        self.blocks = nn.Sequential(*units)
        self.channels = scaled(last, scale)
        self.conv2 = ConvBNLayer(inputs, self.channels, hard_swish=True)
        self.pool = nn.MaxPool2D(2, 2)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.pool(self.conv2(self.blocks(self.conv1(x))))


class EncoderWithRNN(nn.Layer):
    """Two LSTMs in each direction, (n, columns, 2 * hidden size)."""

    def __init__(self, channels: int, hidden_size: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels, hidden_size, num_layers=2, direction="bidirectional")

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.lstm(x)[0]


class SequenceEncoder(nn.Layer):
    """A map of one row as a sequence of its columns, (n, columns, channels)."""

    def __init__(self, channels: int, hidden_size: int | None) -> None:
        """`hidden_size` is that of recurrent layers; with None there are none."""
        super().__init__()
        self.channels = channels
        self.encoder: nn.Layer | None = None
        if hidden_size is not None:
            self.encoder = EncoderWithRNN(channels, hidden_size)
            self.channels = 2 * hidden_size

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        columns = x.squeeze(2).transpose([0, 2, 1])
        return columns if self.encoder is None else self.encoder(columns)


class CTCHead(nn.Layer):
    """A chance for every class and column, in training a score; class 0 is the blank."""

    def __init__(
        self, channels: int, classes: int, decay: float, middle: int | None = None
    ) -> None:
        """`decay` is the weight decay of the head alone, `middle` the width of a layer between."""
        super().__init__()
        self.fc: nn.Layer | None = None
        if middle is None:
            self.fc = _linear(channels, classes, decay)
        else:
            self.fc1 = _linear(channels, middle, decay)
            self.fc2 = _linear(middle, classes, decay)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        scores = self.fc2(self.fc1(x)) if self.fc is None else self.fc(x)
        return scores if self.training else F.softmax(scores, axis=2)


def _linear(inputs: int, outputs: int, decay: float) -> nn.Linear:
    bound = inputs**-0.5
    attributes = [
        paddle.ParamAttr(
            initializer=Uniform(-bound, bound), regularizer=paddle.regularizer.L2Decay(decay)
        )
        for _ in range(2)
    ]
    return nn.Linear(inputs, outputs, *attributes)


class CRNNetwork(nn.Layer):
    """Chances of classes along a line, (n, columns, classes), in training scores.

    `strides` have to leave one row of the map; with the default there are w/4 columns.
    """

    def __init__(
        self,
        classes: int,
        variant: str = "large",
        scale: float = 0.5,
        strides: Sequence[int] | None = None,
        squeeze_excitation: bool = True,
        hidden_size: int | None = HIDDEN_SIZE,
        head_decay: float = HEAD_DECAY,
        head_middle: int | None = None,
    ) -> None:
        super().__init__()
        strides = STRIDES[variant] if strides is None else strides
        self.backbone = MobileNetV3(variant, scale, strides, squeeze_excitation)
        self.neck = SequenceEncoder(self.backbone.channels, hidden_size)
        self.head = CTCHead(self.neck.channels, classes, head_decay, head_middle)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        return self.head(self.neck(self.backbone(x)))
