import cv2
import numpy as np
import pytest

from spaces.errors import TaskError
from trainables.data.image_input import IMAGENET_MEAN, CenterCrop, Normalize, Pad, Resize
from trainables.data.preparing import prepare
from trainables.remarks import collected
from trainables.tasks.exported.preprocessing import image_preparation, input_shapes, preprocessing
from trainables.tasks.exported.program import Fed
from trainables.tasks.exported.task import _image_input

FREE = Fed("x", (-1, 3, -1, -1), "float32")
PADDLECLAS = """
PreProcess:
  transform_ops:
  - DecodeImage: {to_rgb: true, channel_first: false}
  - ResizeImage: {resize_short: 256}
  - CropImage: {size: 224}
  - NormalizeImage: {scale: 0.00392156862745098, mean: [0.4, 0.5, 0.6], std: [0.2, 0.3, 0.4]}
  - ToCHWImage: null
"""
PADDLEDETECTION = """
Preprocess:
- {type: Resize, interp: 2, keep_ratio: false, target_size: [320, 416]}
- {type: NormalizeImage, is_scale: true, mean: [0.4, 0.5, 0.6], std: [0.2, 0.3, 0.4]}
- {type: Permute}
"""
PADDLEOCR = """
PreProcess:
  transform_ops:
  - DecodeImage: {channel_first: false, img_mode: BGR}
  - MultiLabelEncode: {gtc_encode: NRTRLabelEncode}
  - RecResizeImg: {image_shape: [3, 48, 320]}
  - KeepKeys: {keep_keys: [image, label_ctc]}
PostProcess: {name: CTCLabelDecode, character_dict: [a, b]}
"""
PADDLESEG = """
Deploy:
  model: model.pdmodel
  transforms:
  - {type: Resize, target_size: [1024, 512]}
  - {type: Normalize}
"""


def test_as_paddleclas_and_paddlex_write_it(tmp_path):
    (tmp_path / "inference.yml").write_text(PADDLECLAS)
    with collected() as said:
        found = preprocessing(tmp_path)
    assert "inference.yml" in said[0]
    assert found.mean == (0.4, 0.5, 0.6) and found.scale == pytest.approx(1 / 255)
    (shape,) = input_shapes(FREE, found, None)
    steps = image_preparation(found, shape).steps
    assert shape == (3, 224, 224)
    assert [type(step) for step in steps] == [Resize, CenterCrop, Normalize]
    # At another size the crop is not the model's.
    assert [type(s) for s in image_preparation(found, (3, 64, 64)).steps] == [Resize, Normalize]


def test_as_paddledetection_and_paddleseg_write_it(tmp_path):
    (tmp_path / "infer_cfg.yml").write_text(PADDLEDETECTION)
    found = preprocessing(tmp_path)
    assert input_shapes(FREE, found, None) == [(3, 320, 416)]
    assert found.steps[0].interpolation == "bicubic" and found.std == (0.2, 0.3, 0.4)
    (tmp_path / "infer_cfg.yml").unlink()
    (tmp_path / "deploy.yaml").write_text(PADDLESEG)
    found = preprocessing(tmp_path)
    assert input_shapes(FREE, found, None) == [(3, 512, 1024)]
    assert (found.mean, found.std, found.scale) == ((0.5,), (0.5,), 1 / 255)


def test_as_paddleocr_writes_it_for_a_recogniser(tmp_path):
    (tmp_path / "inference.yml").write_text(PADDLEOCR)
    found = preprocessing(tmp_path)
    assert input_shapes(FREE, found, None) == [(3, 48, 320)]
    assert (found.mean, found.std, found.channel_order) == ((0.5,), (0.5,), "BGR")
    for shape in ((3, 48, 320), (3, 48, 160)):
        steps = image_preparation(found, shape).steps
        assert [type(step) for step in steps] == [Resize, Normalize, Pad]
        assert (steps[0].rule, steps[0].height, steps[0].width) == ("line", *shape[1:])
    (exact, _) = image_preparation(preprocessing(tmp_path, resize="exact"), shape).steps
    assert (exact.rule, exact.height, exact.width) == ("exact", 48, 160)
    (tmp_path / "inference.yml").write_text(PADDLEOCR.replace("320]", "320], padding: false"))
    assert preprocessing(tmp_path).resize == "exact"


@pytest.mark.parametrize("order", ["BGR", "RGB"])
@pytest.mark.parametrize(
    ("high", "wide", "resized"), [(30, 56, 60), (33, 33, 32), (20, 41, 64), (32, 11, 11)]
)
def test_a_line_is_prepared_as_by_paddleocr(tmp_path, high, wide, resized, order):
    """RecResizeImg, by hand: 32 high, the width rounded up, at most 64, the rest zero."""
    how = preprocessing(tmp_path, resize="line", channel_order=order)
    spec = _image_input(Fed("x", (-1, 3, 32, -1), "float32"), how, (3, 32, 64))
    pixels = np.random.default_rng(1).integers(0, 256, (high, wide, 3), dtype=np.uint8)
    image = pixels[..., ::-1] if order == "BGR" else pixels
    image = cv2.resize(np.ascontiguousarray(image), (resized, 32)).astype("float32")
    expected = np.zeros((3, 32, 64), "float32")
    expected[:, :, :resized] = (image.transpose(2, 0, 1) / 255 - 0.5) / 0.5
    assert np.array_equal(prepare(pixels, spec), expected)


def test_without_options_lines_are_prepared_as_by_paddleocr_and_it_is_said(tmp_path):
    with collected() as said:
        found = preprocessing(tmp_path, reads_lines=True)
    assert (found.resize, found.mean, found.channel_order) == ("line", (0.5,), "BGR")
    assert "lines of text, resized as PaddleOCR does" in said[0] and "(0.5) are taken" in said[1]
    found = preprocessing(tmp_path, mean=0.1, resize="exact", reads_lines=True)
    assert (found.resize, found.mean, found.channel_order) == ("exact", (0.1,), "RGB")


def test_options_go_before_the_file(tmp_path):
    (tmp_path / "inference.yml").write_text(PADDLECLAS)
    found = preprocessing(tmp_path, mean=0.5, channel_order="BGR")
    assert (found.mean, found.std, found.channel_order) == ((0.5,), (0.2, 0.3, 0.4), "BGR")
    # With all of them the file is not read.
    (tmp_path / "inference.yml").write_text("PreProcess: {transform_ops: [{Mystery: null}]}")
    assert preprocessing(tmp_path, 0.5, 0.5, "1/255").std == (0.5,)


def test_without_either_it_is_imagenets_and_said(tmp_path):
    with collected() as said:
        assert preprocessing(tmp_path).mean == IMAGENET_MEAN
    assert "ImageNet's are taken" in said[0]


@pytest.mark.parametrize(
    ("content", "said"),
    (
        ("PreProcess: {transform_ops: [{Mystery: null}]}", "transform Mystery is not supported"),
        ("PreProcess: [", "is not YAML"),
        ("Preprocess: [{type: Resize, keep_ratio: true, target_size: 64}]", "aspect ratio"),
        ("Preprocess: [{type: Resize, target_size: wide}]", "is not one or two numbers"),
        (PADDLEOCR.replace("48, 320", "320"), "is not one or two numbers"),
    ),
)
def test_files_that_are_refused(tmp_path, content, said):
    (tmp_path / "inference.yml").write_text(content)
    with pytest.raises(TaskError, match=said):
        preprocessing(tmp_path)


@pytest.mark.parametrize(
    ("options", "said"),
    (
        ({"std": 0}, "is not above 0"),
        ({"scale": "1/0"}, "is not a number above 0"),
        ({"channel_order": "GRB"}, "is not RGB or BGR"),
        ({"resize": "padded"}, "resize 'padded' is not exact or line"),
    ),
)
def test_options_that_are_refused(tmp_path, options, said):
    with pytest.raises(TaskError, match=said):
        preprocessing(tmp_path, **options)


def test_sizes(tmp_path):
    found = preprocessing(tmp_path)
    assert input_shapes(FREE, found, 64) == [(3, 64, 64)]
    line = Fed("x", (-1, 3, 48, -1), "float32")
    assert input_shapes(line, found, [48, 160]) == [(3, 48, 160)]
    assert input_shapes(line, found, [[48, 160], [48, 320]]) == [(3, 48, 160), (3, 48, 320)]
    # What is no image has no such size.
    assert input_shapes(Fed("factor", (-1, 2), "float32"), found, [[48, 160], [48, 320]]) == [(2,)]
    for fed, size, said in (
        (FREE, None, "has free sizes"),
        (FREE, [1, 2, 3], "is not one or two numbers"),
        (FREE, "large", "is not one or two numbers"),
        (Fed("x", (-1, 3, 48, 48), "float32"), 64, "was exported for 48 x 48"),
    ):
        with pytest.raises(TaskError, match=said):
            input_shapes(fed, found, size)
