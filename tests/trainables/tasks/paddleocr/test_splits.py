"""What a configuration of either kind says of its batches."""

import pytest

from trainables.tasks.paddleocr.splits import BATCH_SIZE, training_recipe


@pytest.mark.parametrize(
    ("config", "size"),
    [
        ({"Train": {"loader": {"batch_size_per_card": 4}}}, 4),
        ({"Train": {"loader": {"shuffle": True}}}, BATCH_SIZE),
        ({"Train": {"loader": None}}, BATCH_SIZE),
        ({}, BATCH_SIZE),
    ],
)
def test_the_batch_size_is_that_of_train(config, size):
    assert training_recipe(config).batch_size == size
