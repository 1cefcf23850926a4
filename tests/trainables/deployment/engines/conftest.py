import pytest

from tests.helpers.tiny.mine import Mine


@pytest.fixture
def task(tiny_weights):
    return Mine(tiny_weights)
