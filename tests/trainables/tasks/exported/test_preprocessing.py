import pytest

from spaces.errors import TaskError
from trainables.data.image_input import IMAGENET_MEAN, CenterCrop, Normalize, Resize
from trainables.remarks import collected
from trainables.tasks.exported.preprocessing import image_preparation, input_shapes, preprocessing
from trainables.tasks.exported.program import Fed

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
