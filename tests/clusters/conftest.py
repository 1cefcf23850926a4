"""Storages of every kind that a test can reach."""

import pytest

from tests.clusters.s3 import CREDENTIALS, s3_server


@pytest.fixture(scope="session")
def s3():
    """A real S3 server on loopback, and the credentials it takes."""
    with pytest.MonkeyPatch.context() as patch, s3_server() as server:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(params=["folder", "file URI", "s3"])
def uri(request, tmp_path):
    """A place that nothing is kept at yet, on a storage of each kind."""
    if request.param == "folder":
        return str(tmp_path / "shared")
    if request.param == "file URI":
        return (tmp_path / "shared").as_uri()
    return request.getfixturevalue("s3").uri(tmp_path.name)
