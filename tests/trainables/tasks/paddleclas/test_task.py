import importlib.util

import cv2
import numpy as np
import paddle
import pytest
import yaml
from PIL import Image

from spaces.errors import DataError, TaskError
from trainables.checking import check_task
from trainables.remarks import collected
from trainables.tasks.paddleclas.networks import build_paddleclas
from trainables.tasks.paddleclas.task import make_task

NORMALIZE = {
    "scale": "1.0/255.0",
    "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225],
    "order": "",
}
CONFIG = """
Global:
  epochs: 20
  device: gpu
Arch:
  name: MobileNetV3_small_x0_35
  class_num: 3
  pretrained: true
Loss:
  Train:
    - CELoss: {weight: 2.0, epsilon: 0.1}
  Eval:
    - CELoss: {weight: 1.0}
Optimizer: {name: Momentum, momentum: 0.9, lr: {name: Cosine, learning_rate: 0.1}}
DataLoader:
  Train:
    dataset:
      name: ImageNetDataset
      image_root: ROOT
      cls_label_path: ROOT/train_list.txt
      transform_ops:
        - DecodeImage: {to_rgb: True, channel_first: False}
        - RandCropImage: {size: 32}
        - RandFlipImage: {flip_code: 1}
        - AutoAugment:
        - NormalizeImage: NORMALIZE
    sampler: {name: DistributedBatchSampler, batch_size: 4, drop_last: False, shuffle: True}
  Eval:
    dataset:
      name: ImageNetDataset
      image_root: ROOT
      cls_label_path: ROOT/val_list.txt
      transform_ops:
        - DecodeImage: {to_rgb: True, channel_first: False}
        - ResizeImage: {resize_short: 36}
        - CropImage: {size: 32}
        - NormalizeImage: NORMALIZE
    sampler: {name: DistributedBatchSampler, batch_size: 4}
Metric: {Train: [{TopkAcc: {topk: [1, 5]}}], Eval: [{TopkAcc: {topk: [1, 5]}}]}
"""

installed = pytest.mark.skipif(
    importlib.util.find_spec("paddleclas") is None, reason="PaddleClas is not installed"
)


@pytest.fixture
def root(tmp_path):
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 6)):
        lines = []
        for number in range(count):
            name = f"{split}{number}.jpg"
            pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name)
            lines.append(f"{name} {number % 3}")
        (tmp_path / f"{split}_list.txt").write_text("\n".join(lines))
    return tmp_path


@pytest.fixture
def config(root):
    text = CONFIG.replace("NORMALIZE", str(NORMALIZE)).replace("ROOT", str(root))
    return yaml.safe_load(text)


@pytest.fixture
def options(root):
    """Write a configuration and return the task's options."""

    def written(config):
        (root / "net.yaml").write_text(yaml.safe_dump(config))
        return {"config_file": str(root / "net.yaml"), "weights": str(root / "w.pdparams")}

    return written


@installed
def test_the_task_meets_every_demand(config, options, root):
    paddle.seed(0)
    network = build_paddleclas("MobileNetV3_small_x0_35", class_num=3)
    paddle.save(network.state_dict(), str(root / "w.pdparams"))
    unmet = [demand for demand in check_task("paddleclas", options(config)) if not demand.met]
    assert unmet == []


def test_images_are_as_the_configuration_says(config, options):
    task = make_task(**options(config))
    assert task.recipe.batch_size == 4
    assert task.inputs[0].shape == (3, 32, 32)
    assert task.inputs[0].scale == 1 / 255 and task.inputs[0].mean == tuple(NORMALIZE["mean"])
    batch = next(task.train_batches(4, 0))
    assert batch.inputs[0].shape == (4, 3, 32, 32)
    smaller = make_task(**options(config), image_size=16)
    assert smaller.inputs[0].shape == (3, 16, 16)


def evaluated(config, options):
    """The tensor of the first image of Eval, and its pixels."""
    config["DataLoader"]["Test"] = config["DataLoader"]["Eval"]
    task = make_task(**options(config))
    pixels = cv2.imread(str(config["DataLoader"]["Eval"]["dataset"]["image_root"] + "/val0.jpg"))
    return next(task.eval_batches("val", 1)).inputs[0][0], pixels[..., ::-1], task


def normal(pixels, scale=1 / 255, mean=NORMALIZE["mean"], std=NORMALIZE["std"]):
    """What the toolkit's NormalizeImage and its data set make of pixels."""
    mean, std = (np.array(of, "float32") for of in (mean, std))
    return ((pixels.astype("float32") * np.float32(scale) - mean) / std).transpose(2, 0, 1)


def middle(pixels, height=32, width=32):
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def pil(pixels, size, way):
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize(size, way))


BYTE_MEAN = {"scale": 1.0, "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}
DECODE, CROP, NORMAL = (
    {"DecodeImage": {}},
    {"CropImage": {"size": 32}},
    {"NormalizeImage": NORMALIZE},
)


@pytest.mark.parametrize(
    ("ops", "expected"),
    [
        # 40 x 50 pixels become 36 x 45.
        ([DECODE, {"ResizeImage": {"resize_short": 36}}, CROP, NORMAL],
         lambda x: normal(middle(cv2.resize(x, (45, 36))))),
        ([DECODE, {"ResizeImage": {"resize_short": 36, "interpolation": "bicubic"}}, CROP, NORMAL],
         lambda x: normal(middle(cv2.resize(x, (45, 36), interpolation=cv2.INTER_CUBIC)))),
        ([DECODE, {"ResizeImage": {"resize_short": 36, "backend": "pil",
                                   "interpolation": "bicubic"}}, CROP, NORMAL],
         lambda x: normal(middle(pil(x, (45, 36), Image.Resampling.BICUBIC)))),
        ([{"DecodeImage": {"to_np": False, "backend": "pil"}},
          {"ResizeImage": {"resize_short": 36, "backend": "pil"}}, CROP, NORMAL],
         lambda x: normal(middle(pil(x, (45, 36), Image.Resampling.BILINEAR)))),
        ([{"DecodeImage": {"to_rgb": False}}, {"ResizeImage": {"size": [40, 32]}}, NORMAL],
         lambda x: normal(cv2.resize(x[..., ::-1], (40, 32)))),
        ([DECODE, {"ResizeImage": {"resize_short": 36}}, CROP, {"NormalizeImage": BYTE_MEAN}],
         lambda x: normal(middle(cv2.resize(x, (45, 36))), **BYTE_MEAN)),
        ([DECODE, {"CropImageAtRatio": {"size": 32, "pad": 8}}, NORMAL],
         lambda x: normal(cv2.resize(middle(x, 32, 32), (32, 32)))),
        ([DECODE, {"ResizeImage": {"resize_short": 36}}, {"CropImage": {"size": [32, 24]}}, NORMAL],
         lambda x: normal(middle(cv2.resize(x, (45, 36)), 24, 32))),
    ],
)  # fmt: skip
def test_the_tensor_is_the_toolkits(config, options, ops, expected):
    config["DataLoader"]["Eval"]["dataset"]["transform_ops"] = ops
    tensor, pixels, task = evaluated(config, options)
    wanted = expected(np.ascontiguousarray(pixels))
    assert tensor.shape == task.inputs[0].shape == wanted.shape
    assert np.array_equal(tensor, wanted)


def test_a_fourth_channel_is_zeros(config, options):
    ops = config["DataLoader"]["Eval"]["dataset"]["transform_ops"]
    ops[-1] = {"NormalizeImage": {**NORMALIZE, "channel_num": 4}}
    tensor, pixels, _ = evaluated(config, options)
    assert tensor.shape == (4, 32, 32) and (tensor[3] == 0).all()
    assert np.array_equal(tensor[:3], normal(middle(cv2.resize(pixels, (45, 36)))))


def test_a_distillations_student_is_searched(config, options):
    student = {"name": "MobileNetV3_small_x0_35", "class_num": 3, "return_patterns": ["blocks"]}
    teacher = {"name": "ResNet50_vd", "class_num": 3, "pretrained": "there"}
    config["Arch"] = {
        "name": "DistillationModel",
        "models": [{"Teacher": teacher}, {"Student": student}],
        "infer_model_name": "Student",
    }
    config["Loss"]["Train"] = [{"DistillationDMLLoss": {"weight": 1.0}}]
    with collected() as said:
        task = make_task(**options(config))
    assert type(task.build_untrained()).__name__ == "MobileNetV3"
    assert said[0].startswith("of the distillation, Student (MobileNetV3_small_x0_35) is searched")
    assert said[1] == "omitted in training: AutoAugment; crops and mirroring are used"
    attention = {"name": "AttentionModel", "models": [{"Small": student}, {"Linear": {}}]}
    config["Arch"]["models"][1]["Student"] = attention
    assert make_task(**options(config))._architecture["name"] == student["name"]
    config["Arch"]["infer_model_name"] = "Pupil"
    with pytest.raises(TaskError, match="no model 'Pupil'; it names Teacher, Student"):
        make_task(**options(config))


def test_a_number_without_a_point_is_a_number(config, options, root):
    given = options(config)
    file = root / "net.yaml"
    file.write_text(file.read_text().replace("class_num: 3", "class_num: 3\n  eps: 1e-6"))
    assert make_task(**given)._architecture["eps"] == 1e-6


def test_without_a_test_section_half_of_each_class_is_the_test_split(config, options, root):
    # Classes that take turns, as in many a list: 0, 1, 2, 0, 1, 2.
    with collected() as said:
        task = make_task(**options(config))
    val, test = (
        np.concatenate([b.targets for b in task.eval_batches(split, 2)])[:, 0].tolist()
        for split in ("val", "test")
    )
    assert sorted(val) == sorted(test) == [0, 1, 2]
    assert (
        "6 images of Eval are divided class by class, 3 for validation and 3 for test" in said[-1]
    )
    config["DataLoader"]["Test"] = config["DataLoader"]["Train"]
    with collected() as said:
        task = make_task(**options(config))
    assert not any("divided" in line for line in said)
    assert sum(len(b.targets) for b in task.eval_batches("test", 4)) == 8
    assert sum(len(b.targets) for b in task.eval_batches("val", 4)) == 6


def test_the_loss_is_the_configurations_with_its_weight_and_smoothing(config, options):
    task = make_task(**options(config))
    logits = np.array([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]], "float32")
    likely = np.log(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
    smooth = 0.9 * np.eye(3)[[0, 2]] + 0.1 / 3
    expected = 2.0 * -(smooth * likely).sum(1).mean()
    found = task.loss(paddle.to_tensor(logits), paddle.to_tensor(np.array([[0], [2]])))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def at(config, *keys):
    for key in keys:
        config = config[key]
    return config


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    (
        (("Loss", "Train"), [{"ArcLoss": {}}], "loss 'ArcLoss' is not supported"),
        (("DataLoader", "Eval", "dataset", "name"), "MultiLabelDataset", "'MultiLabelDataset'"),
        (("DataLoader", "Eval", "dataset", "transform_ops"), [{"Pad": {}}], "Eval's Pad is not"),
        (("DataLoader", "Train", "dataset", "image_root"), None, "needs image_root"),
        (
            ("DataLoader", "Eval", "dataset", "transform_ops"),
            [DECODE, {"ResizeImage": {"size": 32, "padding": 3}}, NORMAL],
            "ResizeImage: key 'padding' is not supported",
        ),
        (
            ("DataLoader", "Eval", "dataset", "transform_ops"),
            [DECODE, {"ResizeImage": {"size": 32, "interpolation": "random"}}, NORMAL],
            "interpolation 'random' is not one of nearest, bilinear",
        ),
        (
            ("DataLoader", "Eval", "dataset", "transform_ops"),
            [DECODE, {"ResizeImage": {"size": 32, "backend": "torch"}}, NORMAL],
            "backend 'torch' is not cv2 or pil",
        ),
        (
            ("DataLoader", "Eval", "dataset", "transform_ops"),
            [DECODE, {"ResizeImage": {"resize_short": 30}}, CROP, NORMAL],
            "CropImage 32 x 32 is larger than the resized image's shorter side, 30",
        ),
        (
            ("DataLoader", "Eval", "dataset", "transform_ops"),
            [DECODE, {"ResizeImage": {"resize_short": 30}}, NORMAL],
            "images have no fixed size",
        ),
        (("Arch", "name"), "RecModel", "Arch 'RecModel' is not a classifier"),
        (
            ("DataLoader", "Train", "dataset", "relabel"),
            True,
            "has 'relabel', which is not supported",
        ),
        (
            ("DataLoader", "Eval", "dataset", "transform_ops"),
            [{"ResizeImage": {"size": 32}}, {"NormalizeImage": {"scale": "one"}}],
            "scale 'one' is not a number",
        ),
    ),
)
def test_unsupported_settings_are_refused_by_name(config, options, keys, value, said):
    at(config, *keys[:-1])[keys[-1]] = value
    with pytest.raises(TaskError, match=said):
        make_task(**options(config))


@installed
def test_a_network_that_downloads_by_default_does_not():
    """Its builder's `pretrained` is true by default."""
    assert build_paddleclas("UniFormer_small", class_num=3).training


@installed
@pytest.mark.parametrize(
    ("architecture", "said"),
    (
        ({"name": "OwnModel"}, "model 'OwnModel' is unknown"),
        ({"name": "MobileNetV1", "depth": 3}, "MobileNetV1 cannot be built"),
    ),
)
def test_an_architecture_that_is_not_a_network(config, options, architecture, said):
    config["Arch"] = architecture
    with pytest.raises(TaskError, match=said):
        make_task(**options(config)).build_untrained()


def test_broken_data_is_named_with_its_line(config, options, root):
    lists = root / "val_list.txt"
    lists.write_text("val0.jpg 0\nval1.jpg 3\nnone.jpg 1")
    with pytest.raises(DataError, match=r"val_list\.txt:2: class 3 is out of range"):
        make_task(**options(config))
    lists.write_text("val0.jpg 0\nnone.jpg 1")
    with pytest.raises(DataError, match=r"val_list\.txt:2: image .*none\.jpg is missing"):
        make_task(**options(config))


def test_a_file_that_is_not_a_configuration(options, root):
    given = options({"Global": {}})
    with pytest.raises(TaskError, match="has no Arch"):
        make_task(**given)
    with pytest.raises(TaskError, match="is missing"):
        make_task(**{**given, "config_file": str(root / "none.yaml")})
