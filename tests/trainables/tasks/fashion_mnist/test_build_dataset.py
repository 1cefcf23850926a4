import gzip
import struct

import numpy as np
import pandas as pd

from trainables.tasks.fashion_mnist import build_dataset


def test_the_dataset_is_rebuilt_the_same_from_the_same_files(tmp_path, monkeypatch):
    monkeypatch.setattr(build_dataset, "PER_CLASS", {"train": 3, "val": 2, "test": 2})
    rng = np.random.default_rng(0)
    for source in ("train", "t10k"):
        labels = np.repeat(np.arange(10, dtype=np.uint8), 6)
        images = rng.integers(0, 256, (60, 28, 28), dtype=np.uint8)
        header = struct.pack(">BBBB3i", 0, 0, 8, 3, 60, 28, 28)
        path = tmp_path / f"{source}-images-idx3-ubyte.gz"
        path.write_bytes(gzip.compress(header + images.tobytes()))
        header = struct.pack(">BBBBi", 0, 0, 8, 1, 60)
        path = tmp_path / f"{source}-labels-idx1-ubyte.gz"
        path.write_bytes(gzip.compress(header + labels.tobytes()))
    first, second = (build_dataset.build(tmp_path) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)
    assert len(first) == 70
    assert not first["image"].duplicated().any()


def test_the_labels_of_a_rebuilt_subset_are_its_images_own():
    labels = np.repeat(np.arange(10), 5)
    index = build_dataset.balanced(labels, 3, np.random.default_rng(0))
    assert np.bincount(labels[index]).tolist() == [3] * 10
