"""The benchmark problems' data and networks, without training."""

import numpy as np
import paddle
import pytest

from benchmarks.problems import digits, nuclei
from benchmarks.problems.baselines import TRAININGS
from trainables.compression.graph.groups import survey_groups
from trainables.loading import load_task
from trainables.task import SPLITS


@pytest.fixture(scope="module")
def tasks():
    return {name: load_task(f"benchmarks.problems.{name}:make_task") for name in TRAININGS}


def whole(task, split):
    """Return a split's inputs and targets, each as one array."""
    batches = list(task.eval_batches(split, 100))
    return (
        np.concatenate([batch.inputs[0] for batch in batches]),
        np.concatenate([batch.targets for batch in batches]),
    )


def test_digits_are_balanced_and_in_one_split_only(tasks):
    seen = []
    for split, per_class in digits.PER_CLASS.items():
        images, labels = whole(tasks["digits"], split)
        assert images.shape == (10 * per_class, 1, 28, 28)
        assert labels.shape == (10 * per_class, 1)
        assert np.bincount(labels.ravel()).tolist() == [per_class] * 10
        seen += [image.tobytes() for image in images]
    assert len(set(seen)) == 5000


def test_digits_are_normalised(tasks):
    images, _ = whole(tasks["digits"], "train")
    assert images.mean() == pytest.approx(0, abs=0.05)
    assert images.std() == pytest.approx(1, abs=0.05)


def test_bands_cover_every_frame_without_overlap():
    columns = [column for band in nuclei.BANDS.values() for column in range(*band)]
    stain, numbers = nuclei.read_frames()
    assert stain.shape == numbers.shape == (nuclei.FRAMES, 210, len(columns))
    assert sorted(columns) == list(range(len(columns)))


def test_tiles_do_not_overlap():
    frames = np.arange(2 * 210 * 144).reshape(2, 210, 144)
    found = nuclei.tiles(frames)
    assert found.shape[1:] == (nuclei.SIDE, nuclei.SIDE)
    assert len(np.unique(found)) == found.size


def test_every_nuclei_split_has_both_classes(tasks):
    for split in SPLITS:
        images, masks = whole(tasks["nuclei"], split)
        assert images.shape == (len(masks), 1, nuclei.SIDE, nuclei.SIDE)
        assert masks.dtype == np.int64
        assert 0.03 < masks.mean() < 0.12
        # Nuclei are brighter in the stain.
        assert images[:, 0][masks == 1].mean() > images[:, 0][masks == 0].mean() + 1


def test_flipped_tiles_keep_their_masks(tasks):
    task = tasks["nuclei"]
    for batch in task.train_batches(task.recipe.batch_size, 0):
        images, masks = batch.inputs[0][:, 0], batch.targets
        assert images[masks == 1].mean() > images[masks == 0].mean() + 1


@pytest.mark.parametrize("name", TRAININGS)
def test_training_batches_follow_the_seed(name, tasks):
    task = tasks[name]
    first, again, other = (next(task.train_batches(16, seed)) for seed in (1, 1, 2))
    assert (first.inputs[0] == again.inputs[0]).all()
    assert (first.targets == again.targets).all()
    assert (first.inputs[0] != other.inputs[0]).any()
    assert first.inputs[0].shape == (16, *task.inputs[0].shape)
    assert first.inputs[0].dtype == np.float32


@pytest.mark.parametrize(
    ("name", "shape"), [("digits", (2, 10)), ("nuclei", (2, 2, nuclei.SIDE, nuclei.SIDE))]
)
def test_outputs_fit_the_loss_and_the_metric(name, shape, tasks):
    task = tasks[name]
    model = task.build_model()
    model.eval()
    batch = next(task.eval_batches("val", 2))
    outputs = model(paddle.to_tensor(batch.inputs[0]))
    assert tuple(outputs.shape) == shape
    assert np.isfinite(float(task.loss(outputs, paddle.to_tensor(batch.targets))))
    statistics = task.metric.sample_statistics([outputs.numpy()], batch.targets)
    assert len(statistics) == 2


@pytest.mark.parametrize("name", TRAININGS)
def test_every_convolution_but_the_head_is_in_a_group(name, tasks):
    task = tasks[name]
    survey = survey_groups(task.build_model, task.inputs, task.protected_layers)
    members = {member for group in survey.groups for member in group.members}
    convolutions = {n for n, p in task.build_model().named_parameters() if len(p.shape) == 4}
    assert convolutions <= members
    assert survey.excluded == ()
