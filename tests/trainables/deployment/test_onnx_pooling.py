"""Adaptive pooling whose windows differ in size, in ONNX Runtime."""

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn

from spaces.errors import ExportError
from trainables.deployment.export import export_float
from trainables.deployment.exported import write_sizes
from trainables.deployment.onnx_export import export_onnx
from trainables.deployment.onnx_pooling import AdaptivePool, bins, uneven_pools
from trainables.task import ModelInput

INPUTS = (ModelInput("image", (3, 10, 7)),)


class Pooled(nn.Layer):
    """Pools of 5 and 4 pixels: to fewer, to more, and to as many as divide them."""

    def __init__(self, pool):
        super().__init__()
        self.conv, self.pool = nn.Conv2D(3, 4, 3, stride=2, padding=1), pool

    def forward(self, x):
        x = F.relu(self.conv(x))
        return [self.pool(x, size) for size in (3, (6, 6), (5, 2), 1)]


def exported(pool, folder):
    paddle.seed(0)
    export_float(Pooled(pool), INPUTS, folder)
    return np.random.default_rng(0).standard_normal((2, 3, 10, 7)).astype("float32")


def test_windows_of_several_sizes_are_exact(tmp_path):
    pytest.importorskip("onnxruntime")
    images = exported(F.adaptive_avg_pool2d, tmp_path / "model")
    found = uneven_pools(tmp_path / "model")
    assert [(pool.from_side, pool.to_side) for pool in found] == [
        ((5, 4), (3, 3)),
        ((5, 4), (6, 6)),
    ]
    # Compared with Paddle's own run.
    assert export_onnx(tmp_path / "model", tmp_path / "m.onnx", [images], "float", 1) < 1e-6


def test_a_maximum_is_refused_with_what_to_do(tmp_path):
    pytest.importorskip("paddle2onnx")
    images = exported(F.adaptive_max_pool2d, tmp_path / "model")
    with pytest.raises(ExportError, match=r"from \(5, 4\) to \(3, 3\) pixels.*use an input"):
        export_onnx(tmp_path / "model", tmp_path / "m.onnx", [images], "float", 1)


def test_maps_of_several_sizes_are_refused_unless_they_are_pooled_whole(tmp_path):
    exported(F.adaptive_avg_pool2d, tmp_path)
    write_sizes(tmp_path, [[(3, 10, 7)], [(3, 20, 7)]])
    with pytest.raises(ExportError, match=r"to \(3, 3\) pixels of maps of several sizes.*one size"):
        uneven_pools(tmp_path)
    export_float(nn.Sequential(nn.Conv2D(3, 4, 3), nn.AdaptiveAvgPool2D(1)), INPUTS, tmp_path)
    assert uneven_pools(tmp_path) == []


@pytest.mark.parametrize(
    "side, is_uneven", [((5, 4), True), ((6, 3), False), ((6, 5), True), ((5, -1), False)]
)
def test_a_map_of_unknown_size_is_left_as_it_is(side, is_uneven):
    assert AdaptivePool("pooled", side, (3, 3), True).is_uneven == is_uneven


@pytest.mark.parametrize("before, after", [(5, 3), (3, 6), (16, 3), (4, 4), (7, 1)])
def test_bins_are_paddles(before, after):
    row = np.random.default_rng(1).standard_normal(before).astype("float32")
    expected = F.adaptive_avg_pool1d(paddle.to_tensor(row[None, None]), after)
    np.testing.assert_allclose(bins(before, after) @ row, expected.numpy()[0, 0], rtol=1e-5)
