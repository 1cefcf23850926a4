import numpy as np
import paddle
import pytest
from paddle import nn

from tests.helpers.tiny.mine import Mine
from trainables.compression.norms import reestimated_norms
from trainables.settings import norm_samples
from trainables.task import ModelInput


@pytest.mark.parametrize("norm", [nn.BatchNorm2D, nn.BatchNorm])
def test_statistics_are_those_of_training_data_inside_and_the_old_ones_after(norm):
    task = Mine()
    model = nn.Sequential(norm(1), nn.Conv2D(1, 2, 3), norm(2))
    before = {name: buffer.numpy() for name, buffer in model.named_buffers()}
    batches = task.train_batches(task.recipe.batch_size, seed=0)
    pixels = np.concatenate(
        [
            next(batches).inputs[0]
            for _ in range(norm_samples(task.inputs) // task.recipe.batch_size)
        ]
    )
    with reestimated_norms(model, task):
        assert not model.training
        np.testing.assert_allclose(model[0]._mean.numpy(), [pixels.mean()], rtol=1e-4)
        with paddle.no_grad():
            outputs = model(paddle.to_tensor(pixels)).numpy()
        assert np.abs(outputs.mean((0, 2, 3))).max() < 0.02
    for name, buffer in model.named_buffers():
        np.testing.assert_array_equal(buffer.numpy(), before[name])


def test_a_model_without_norms_is_left_alone():
    model = nn.Linear(3, 2)
    with reestimated_norms(model, Mine()):
        assert not model.training


@pytest.mark.parametrize(
    ("shape", "samples"),
    [((3, 28, 28), 256), ((3, 128, 128), 64), ((3, 512, 512), 32), ((7,), 256)],
)
def test_large_images_need_fewer_samples(shape, samples):
    assert norm_samples([ModelInput("x", shape)]) == samples
