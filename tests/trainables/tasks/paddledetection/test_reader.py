"""The network's input beside the one that the toolkit's own EvalReader makes."""

import json

import numpy as np
import pytest
from PIL import Image

from spaces.errors import TaskError
from tests.trainables.tasks.toolkits import PYRAMID, detection_data, rcnn_data
from trainables.tasks.paddledetection.task import make_task

NORMALIZED = "NormalizeImage: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}"
READER = """
EvalReader:
  sample_transforms: [{{Decode: {{}}}}, {{{resize}}}, {{{normalize}}}, {{Permute: {{}}}}]
  {more}
"""
PADDED = "batch_transforms: [PadBatch: {pad_to_stride: 32}]"


def reader(resize, normalize=NORMALIZED, more=""):
    return READER.format(resize=f"Resize: {{{resize}}}", normalize=normalize, more=more)


@pytest.fixture
def configured(tmp_path):
    """A function: the path of a configuration with this EvalReader, of images of many kinds."""
    pytest.importorskip("ppdet.modeling")

    def write(text, data=detection_data, *options):
        config = data(tmp_path, *options)
        rng = np.random.default_rng(0)
        content = json.loads((tmp_path / "val.json").read_text())
        for number, (width, height) in enumerate([(96, 96), (123, 77), (50, 131), (40, 200)]):
            pixels = Image.fromarray(rng.integers(0, 256, (height, width, 3), "uint8"))
            turned = Image.Exif()
            turned[0x0112] = 6 if number == 1 else 1
            pixels.save(tmp_path / f"images/{number}.jpg", exif=turned)
            content["images"][number]["file_name"] = f"{number}.jpg"
            stored = (height, width) if number == 1 else (width, height)
            content["images"][number].update(zip(("width", "height"), stored, strict=True))
        content["images"] = content["images"][:4]
        boxes = [a for a in content["annotations"] if a["image_id"] < 4]
        for number, annotation in enumerate(boxes):
            annotation.update(id=number + 1, bbox=[3, 5, 24, 24], area=576, iscrowd=0)
        content["annotations"] = boxes
        (tmp_path / "val.json").write_text(json.dumps(content))
        config.write_text(config.read_text() + text)
        return str(config)

    return write


def of_the_toolkit(task):
    """Every image of EvalDataset alone in a batch: the tensor, its boxes and the image's size."""
    transforms, dataset = task.create("EvalReader"), task.dataset("EvalDataset")
    dataset.data_fields = ["image", "gt_bbox", "gt_class"]
    dataset.parse_dataset()
    for record in dataset.roidbs:
        sample = transforms._sample_transforms(dict(record))
        batch = transforms._batch_transforms([sample])
        yield batch["image"][0], np.asarray(batch["gt_bbox"][0]), batch["im_shape"][0]


@pytest.mark.parametrize(
    "text",
    [
        *(reader(f"target_size: [64, 96], keep_ratio: false, interp: {i}") for i in range(5)),
        reader("target_size: 64, keep_ratio: False"),
        reader(
            "target_size: [64, 64], keep_ratio: false, interp: 2",
            "NormalizeImage: {mean: [0., 0., 0.], std: [1., 1., 1.], norm_type: none}",
        ),
        reader(
            "target_size: [64, 64], keep_ratio: false, interp: 2",
            "NormalizeImage: {mean: [12.5, 99.0, 3], std: [58.4, 57.1, 57.4], is_scale: false}",
        ),
    ],
)
def test_the_input_is_the_toolkits(configured, text):
    task = make_task(configured(text), "w")
    tensors = list(of_the_toolkit(task))
    ours = [task.reader.load(sample) for sample in task.read("EvalDataset")]
    assert len(ours) == len(tensors) == 4
    for one, (tensor, boxes, size) in zip(ours, tensors, strict=True):
        assert one.tensor.shape == task.inputs[0].shape == tensor.shape
        np.testing.assert_array_equal(one.tensor, tensor)
        corners = [(b.left, b.top, b.right, b.bottom) for b in one.boxes]
        np.testing.assert_allclose(corners, boxes, rtol=1e-5)
        assert one.size == pytest.approx(tuple(size))
    # What is evaluated, and what the manifest says, are the same.
    spec = task.inputs[0]
    batch = next(task.eval_batches("val", 1)).inputs[0][0]
    assert any(np.array_equal(batch, one.tensor) for one in ours)
    raw = batch * np.reshape(spec.std, (3, 1, 1)) + np.reshape(spec.mean, (3, 1, 1))
    assert (raw / spec.scale).min() > -1e-3 and 200 < (raw / spec.scale).max() < 255.5


@pytest.mark.parametrize("more", [PADDED, "batch_transforms: [PadBatch: {pad_to_stride: -1}]"])
def test_the_aspect_is_kept_and_the_rest_of_a_square_is_zeros(configured, more):
    text = reader("target_size: [80, 133], keep_ratio: true, interp: 2", more=more)
    task = make_task(configured(text, rcnn_data, PYRAMID), "w")
    # The pyramid's maps need it, whatever a batch of the toolkit is padded to.
    assert task.inputs[0].shape == (3, 160, 160)
    ours = [task.reader.load(sample) for sample in task.read("EvalDataset")]
    for one, (tensor, _, size) in zip(ours, of_the_toolkit(task), strict=True):
        _, height, width = tensor.shape
        np.testing.assert_array_equal(one.tensor[:, :height, :width], tensor)
        assert not one.tensor[:, height:].any() and not one.tensor[:, :, width:].any()
        assert one.size == pytest.approx(tuple(size))
    scenes = next(task.eval_batches("val", 4)).targets
    assert scenes[0].size != scenes[1].size


def test_a_mirrored_image_is_mirrored_without_its_padding(configured):
    text = reader("target_size: [80, 133], keep_ratio: true, interp: 2", more=PADDED)
    task = make_task(configured(text, rcnn_data, PYRAMID), "w", [64, 96])
    assert task.inputs[0].shape == (3, 64, 96)
    sample = task.read("EvalDataset")[2]
    plain, mirrored = (task.reader.load(sample, m) for m in (False, True))
    width = round(plain.size[1])
    assert width < 64
    np.testing.assert_array_equal(
        plain.tensor[:, :, :width][:, :, ::-1], mirrored.tensor[:, :, :width]
    )
    assert not mirrored.tensor[:, :, width:].any()
    (one, *_), (other, *_) = plain.boxes, mirrored.boxes
    assert (one.left, one.right) == pytest.approx((width - other.right, width - other.left))


STRETCHED = "target_size: [64, 64], keep_ratio: false"


@pytest.mark.parametrize(
    ("text", "size", "what"),
    [
        (reader("target_size: [64, 64]", "LetterBoxResize: {}"), None, "LetterBoxResize is not su"),
        (reader(STRETCHED + ", crop: 3"), None, "Resize: key 'crop' is not supported"),
        (reader(STRETCHED + ", interp: 9"), None, "interp 9 is not one of OpenCV's 0, 1, 2, 3, 4"),
        (reader(STRETCHED, "NormalizeImage: {norm_type: x}"), None, "norm_type 'x' is not mean"),
        (reader(STRETCHED, more="batch_transforms: [Gt2Solov2Target: {}]"), None, "Gt2Solov2"),
        (reader("target_size: [64, 64], keep_ratio: true"), None, "keep_ratio: true"),
        (reader(STRETCHED), 50, r"\[50, 50\] is not a multiple of 32"),
        (reader(STRETCHED), [64], r"\[64\] is not a side or \[height, width\]"),
        ("", None, "image_size is not given and EvalReader has no Resize"),
        (
            "EvalReader: {sample_transforms: [Decode: {}, Permute: {}, Resize: {target_size: 64}]}",
            None,
            "Decode, Permute, Resize is not the order",
        ),
    ],
)
def test_unsupported_operators_are_refused_by_name(configured, text, size, what):
    with pytest.raises(TaskError, match=what) as refused:
        make_task(configured(text), "w", size)
    assert len(str(refused.value).replace(str(refused.value).split()[1], "")) < 300
