"""The built-in problem: its data, its baseline, its groups."""

import numpy as np
import pandas as pd
import pytest

from spaces.errors import WeightsError
from trainables.checking import check_task
from trainables.compression.graph.groups import survey_groups
from trainables.deployment.engines.paddle_inference import PaddleEngine
from trainables.deployment.export import export_float
from trainables.evaluation import evaluate
from trainables.tasks.fashion_mnist.task import DATA, FashionMnist


def test_the_subset_is_balanced_and_complete():
    frame = pd.read_parquet(DATA / "fashion_mnist.parquet")
    assert list(frame.columns) == ["split", "label", "image"]
    counts = frame.groupby(["split", "label"]).size().unstack()
    assert (counts.loc["train"] == 1000).all()
    assert (counts.loc[["val", "test"]] == 200).all(axis=None)
    assert frame["image"].map(len).eq(784).all()
    assert not frame["image"].duplicated().any(), "an image is in two splits"
    assert (DATA / "LICENSE").is_file()


def test_baseline_is_accurate_on_test(tmp_path):
    task = FashionMnist()
    export_float(task.build_model(), task.inputs, tmp_path)
    engine = PaddleEngine(tmp_path, "float", 1)
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


def test_missing_weights_are_an_error_of_the_user():
    with pytest.raises(WeightsError, match="no such file"):
        FashionMnist("/nowhere.safetensors").build_model()
