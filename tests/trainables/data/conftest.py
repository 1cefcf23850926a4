import numpy as np
import pytest
from PIL import Image

from trainables.data.problems import Problems


@pytest.fixture
def problems():
    return Problems()


@pytest.fixture
def picture(tmp_path):
    """Write an image of a size, height and width, and return its name."""

    def write(name, size=(12, 16), **options):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path, **options)
        return name

    return write


@pytest.fixture
def mask(tmp_path):
    def write(name, classes, size=(12, 16)):
        pixels = np.resize(np.array(classes, np.uint8), size)
        Image.fromarray(pixels).save(tmp_path / name)
        return name

    return write


@pytest.fixture
def listed(tmp_path):
    def write(name, *lines):
        (tmp_path / name).write_text("\n".join(lines))
        return tmp_path / name

    return write


def cut_short(path):
    """Leave half of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
