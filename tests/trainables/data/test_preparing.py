import cv2
import numpy as np
import pytest
from PIL import Image

from trainables.data.image_input import (
    CenterCrop,
    CenterSquare,
    Normalize,
    Pad,
    Preparation,
    Resize,
)
from trainables.data.preparing import placement, prepare, read_pixels, target_size
from trainables.task import ModelInput

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PIXELS = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)


def given(*steps, order="RGB", shape=(3, 32, 32), **more):
    image = Preparation(steps, **more)
    return ModelInput(
        "image", shape, channel_order=order, scale=1 / 255, mean=MEAN, std=STD, image=image
    )


def normal(pixels):
    """As PaddleClas and PaddleOCR write it."""
    mean, std = (np.array(of, "float32") for of in (MEAN, STD))
    return ((pixels.astype("float32") * np.float32(1 / 255) - mean) / std).transpose(2, 0, 1)


@pytest.mark.parametrize(
    ("interpolation", "flag"),
    [
        ("nearest", cv2.INTER_NEAREST),
        ("bilinear", cv2.INTER_LINEAR),
        ("area", cv2.INTER_AREA),
        ("bicubic", cv2.INTER_CUBIC),
        ("lanczos", cv2.INTER_LANCZOS4),
    ],
)
def test_resizing_by_opencv_equals_opencv(interpolation, flag):
    way = Resize(height=32, width=40, library="opencv", interpolation=interpolation)
    expected = normal(cv2.resize(PIXELS, (40, 32), interpolation=flag))
    assert np.array_equal(prepare(PIXELS, given(way, Normalize())), expected)


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos", "box"])
def test_resizing_by_pillow_equals_pillow(interpolation):
    way = Resize(height=32, width=40, library="pillow", interpolation=interpolation)
    resized = Image.fromarray(PIXELS).resize((40, 32), Image.Resampling[interpolation.upper()])
    expected = normal(np.asarray(resized))
    assert np.array_equal(prepare(PIXELS, given(way, Normalize())), expected)


def test_factors_are_given_to_opencv_and_means_subtracted_in_double():
    """As PaddleDetection does both: in place, so that single precision is kept."""
    way = Resize("inside_turned", height=50, width=70, library="opencv", by_factor=True)
    factor = min(50 / 60, 70 / 90)
    expected = cv2.resize(PIXELS, None, None, fx=factor, fy=factor).astype("float32")
    expected *= 1 / 255
    expected -= np.array(MEAN)
    expected /= np.array(STD)
    tensor = prepare(PIXELS, given(way, Normalize(double=True)))
    assert np.array_equal(tensor, expected.transpose(2, 0, 1))


def test_pixels_are_divided_as_paddleseg_does():
    expected = PIXELS.astype("float32") / 255.0
    expected -= np.array(MEAN)
    expected /= np.array(STD)
    tensor = prepare(PIXELS, given(Normalize(divides=True, double=True)))
    assert np.array_equal(tensor, expected.transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("step", "size", "wanted"),
    [
        (Resize("shorter_side", 30), (60, 91), (30, 46)),
        (Resize("longer_side", 45), (60, 90), (30, 45)),
        (Resize("at_least", 100), (60, 90), (100, 150)),
        (Resize("at_least", 50), (60, 90), (60, 90)),
        (Resize("at_most", 45), (60, 90), (30, 45)),
        (Resize("at_most", 100), (60, 90), (60, 90)),
        (Resize("inside", height=100, width=45), (60, 90), (30, 45)),
        (Resize("inside_turned", height=40, width=90), (90, 60), (60, 40)),
        (Resize("height", height=32, multiple=32, rounding="up"), (60, 90), (32, 64)),
        (Resize("at_least", 736, multiple=32, whole_first=True), (500, 800), (736, 1184)),
        (Resize("longer_side", 960, multiple=128, rounding="up"), (500, 800), (640, 1024)),
        (Resize("at_least", 64, multiple=32, most_width=64, most_height=64), (60, 180), (32, 64)),
        (Resize("line", height=32, width=100), (60, 91), (32, 49)),
        (Resize("line", height=32, width=100), (33, 99), (32, 96)),
        (Resize("line", height=32, width=100), (60, 900), (32, 100)),
        (Resize("shorter_side", 8), (1, 1000), (8, 8000)),
        (Resize("longer_side", 8), (1, 1000), (1, 8)),
    ],
)
def test_sides_by_each_rule(step, size, wanted):
    assert target_size(step, *size) == wanted


def test_crops_and_padding_have_the_right_offsets():
    marked = np.zeros((40, 60, 3), np.uint8)
    marked[10, 20] = 255
    for steps, place in (
        ((CenterCrop(20, 30),), (0, 5)),
        ((CenterSquare(0.5),), (0, 0)),
        ((Pad(50, 64, value=(9.0,)),), (10, 20)),
        ((Pad(50, 64, at="center"),), (15, 22)),
        ((Pad(multiple=32),), (10, 20)),
        ((CenterCrop(20, 30), Pad(32, 32, at="center")), (6, 6)),
    ):
        found = prepare(marked, given(*steps, Normalize()))[0]
        assert np.unravel_index(found.argmax(), found.shape) == place
        across, down, left, top = placement(steps, 40, 60)
        assert (10 * down + top, 20 * across + left) == place


def test_padding_after_normalization_is_not_normalized():
    tensor = prepare(PIXELS, given(Normalize(), Pad(64, 96)))
    assert (tensor[:, 60:] == 0).all() and (tensor[:, :60, 90:] == 0).all()
    assert np.array_equal(tensor[:, :60, :90], normal(PIXELS))


@pytest.mark.parametrize("decoder", ["opencv", "pillow"])
def test_files_are_decoded_as_by_the_library(tmp_path, decoder):
    """OpenCV turns an image as its EXIF data say; Pillow leaves that to who asks."""
    image = Image.fromarray(PIXELS)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif, quality=90)
    found = read_pixels(tmp_path / "turned.jpg", Preparation((), decoder, decoder == "opencv"))
    if decoder == "opencv":
        expected = cv2.imread(str(tmp_path / "turned.jpg"))[..., ::-1]
        assert found.shape == (90, 60, 3)
    else:
        expected = np.asarray(Image.open(tmp_path / "turned.jpg").convert("RGB"))
    assert np.array_equal(found, expected)
    (tmp_path / "none.jpg").write_bytes(b"text")
    with pytest.raises(OSError):
        read_pixels(tmp_path / "none.jpg", Preparation((), decoder))
