"""The built-in problem: its data, its baseline, its groups."""

import gzip
import struct

import numpy as np
import pandas as pd
import pytest

from trainables.checking import check_task
from trainables.compression.graph.groups import survey_groups
from trainables.deployment.engine import Engine
from trainables.deployment.export import export_float
from trainables.evaluation import evaluate
from trainables.tasks.fashion_mnist import build_dataset
from trainables.tasks.fashion_mnist.task import DATA, FashionMnist


def test_the_subset_is_balanced_and_complete():
    frame = pd.read_parquet(DATA / "fashion_mnist.parquet")
    assert list(frame.columns) == ["split", "label", "image"]
    counts = frame.groupby(["split", "label"]).size().unstack()
    assert (counts.loc["train"] == 1000).all()
    assert (counts.loc[["val", "test"]] == 200).all(axis=None)
    assert frame["image"].map(len).eq(784).all()
    assert not frame["image"].duplicated().any(), "a picture is in two splits"
    assert (DATA / "LICENSE").is_file()


def test_baseline_is_accurate_on_test(tmp_path):
    task = FashionMnist()
    export_float(task.build_model(), task.inputs, tmp_path)
    engine = Engine(tmp_path, "float", 1)
    assert task.metric.aggregate(evaluate(engine.run, task, "test", 250)) >= 0.88


def test_every_convolution_is_in_a_group():
    task = FashionMnist()
    survey = survey_groups(task.build_model, task.inputs)
    assert survey.excluded == ()
    members = {member for group in survey.groups for member in group.members}
    names = [n for n, p in task.build_model().named_parameters() if len(p.shape) == 4]
    assert set(names) <= members
    assert len(survey.groups) == 9


def test_training_batches_are_augmented_by_the_seed():
    task = FashionMnist()
    first, again, other = (next(task.train_batches(16, seed)) for seed in (1, 1, 2))
    assert (first.inputs[0] == again.inputs[0]).all()
    assert (first.inputs[0] != other.inputs[0]).any()
    assert first.inputs[0].shape == (16, 1, 28, 28)
    assert first.inputs[0].dtype == np.float32


def test_the_task_meets_the_contract():
    assert [d for d in check_task("fashion_mnist", {}) if not d.met] == []


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


def test_missing_weights_are_an_error_of_the_user():
    from spaces.errors import WeightsError

    with pytest.raises(WeightsError, match="no such file"):
        FashionMnist("/nowhere.safetensors").build_model()
