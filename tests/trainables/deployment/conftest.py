"""The tiny task without trained weights, and its export."""

import pytest

from tests.helpers.tiny.mine import Mine


@pytest.fixture(scope="session")
def untrained():
    return Mine()


@pytest.fixture(scope="session")
def tiny_export(untrained, tmp_path_factory):
    """The folder of the tiny network's export."""
    from trainables.deployment.export import export_float

    folder = tmp_path_factory.mktemp("export")
    export_float(untrained.build_model(), untrained.inputs, folder)
    return folder
