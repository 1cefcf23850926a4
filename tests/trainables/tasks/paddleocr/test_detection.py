import json

import cv2
import numpy as np
import paddle
import pytest
import yaml
from PIL import Image, ImageDraw

from spaces.errors import DataError, TaskError
from trainables.checking import check_task
from trainables.compression.graph.groups import survey_groups
from trainables.evaluation import eager, evaluate
from trainables.remarks import collected
from trainables.tasks.paddleocr.db_network import DBNetwork
from trainables.tasks.paddleocr.task import make_task
from trainables.training import Trainer

CONFIG = """
Architecture:
  model_type: det
  algorithm: DB
  Backbone: {{name: MobileNetV3, scale: 0.35, model_name: small}}
  Neck: {{name: DBFPN, out_channels: 32}}
  Head: {{name: DBHead, k: 50}}
Loss: {{name: DBLoss, main_loss_type: BCELoss, alpha: 5, beta: 10, ohem_ratio: 3}}
PostProcess: {{name: DBPostProcess, thresh: 0.3, box_thresh: 0.5, unclip_ratio: 1.5}}
Train:
  dataset: {{data_dir: {root}, label_file_list: ["{root}/train.txt"]}}
  loader: {{batch_size_per_card: 4}}
Eval:
  dataset:
    data_dir: {root}
    label_file_list: ["{root}/val.txt"]
    transforms: [{{DetResizeForTest: {{image_shape: [64, 96]}}}}]
"""


def write_data(root):
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("val", 6)):
        lines = []
        for number in range(count):
            image = Image.fromarray(rng.integers(0, 90, (80, 120, 3), dtype=np.uint8))
            left, top = (int(value) for value in rng.integers(4, 40, 2))
            box = (left, top, left + 60, top + 24)
            ImageDraw.Draw(image).rectangle(box, fill=(230, 230, 230))
            name = f"{split}{number}.png"
            image.save(root / name)
            corners = [[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]]
            lines.append(f"{name}\t{json.dumps([{'transcription': 'x', 'points': corners}])}")
        (root / f"{split}.txt").write_text("\n".join(lines))
    (root / "db.yml").write_text(CONFIG.format(root=root))


@pytest.fixture
def options(tmp_path):
    write_data(tmp_path)
    paddle.seed(0)
    network = DBNetwork("small", 0.35, True, 32)
    paddle.save(network.state_dict(), str(tmp_path / "w.pdparams"))
    return {"config_file": str(tmp_path / "db.yml"), "weights": str(tmp_path / "w.pdparams")}


@pytest.mark.slow
def test_trained_it_finds_the_regions_and_meets_every_demand(options):
    task = make_task(**options)
    model = task.build_model()
    Trainer(model, task, steps=150, learning_rate=0.1, batch_size=4, seed=0).run(150)
    metric = task.metric.aggregate(evaluate(eager(model), task, "val", 4))
    assert metric > 0.5
    paddle.save(model.state_dict(), options["weights"])
    demands = {demand.name: demand for demand in check_task("paddleocr", options)}
    unmet = {name: demand.said for name, demand in demands.items() if not demand.met}
    assert unmet == {}


def test_the_size_of_the_engines_input_is_that_of_the_configuration(options):
    task = make_task(**options)
    assert task.inputs[0].shape == (3, 64, 96) and task.inputs[0].channel_order == "BGR"
    assert task.recipe.batch_size == 4
    (batch,) = task.eval_batches("val", 10)
    assert batch.inputs[0].shape == (3, 3, 64, 96) and len(batch.targets) == 3
    # 120 by 80 pixels have become 96 by 64.
    (region,) = batch.targets[0]
    assert np.ptp([x for x, _ in region.points]) == pytest.approx(60 * 96 / 120)


def with_transforms(tmp_path, *given, **changed):
    """Write the configuration with these transforms of Eval."""
    config = yaml.safe_load((tmp_path / "db.yml").read_text())
    config["Eval"]["dataset"]["transforms"] = list(given)
    config["Test"] = config["Eval"]
    (tmp_path / "db.yml").write_text(yaml.safe_dump({**config, **changed}))


DECODE = {"DecodeImage": {"img_mode": "BGR", "channel_first": False}}
ENDS = ({"ToCHWImage": None}, {"KeepKeys": {"keep_keys": ["image", "shape"]}})
OWN = {"scale": "1./255.", "mean": [0.1, 0.2, 0.3], "std": [0.5, 0.6, 0.7], "order": "hwc"}


@pytest.mark.parametrize(
    ("resizing", "height", "width"),
    [
        # Images are 80 high and 120 wide; the toolkit's own rules, by hand.
        ({"image_shape": [64, 96]}, 64, 96),
        ({"image_shape": [64, 96], "keep_ratio": False}, 64, 96),
        ({"image_shape": [96, 64], "keep_ratio": True}, 96, 160),
        ({"limit_side_len": 100}, 96, 160),
        ({"limit_side_len": 64, "limit_type": "min"}, 64, 128),
        ({"limit_side_len": 64, "limit_type": "max"}, 32, 64),
        ({"limit_side_len": 960, "limit_type": "max"}, 64, 128),
        ({"limit_side_len": 192, "limit_type": "resize_long"}, 128, 192),
        ({"resize_long": 130}, 128, 256),
        (None, 736, 1088),
    ],
)
@pytest.mark.parametrize("mode", ["BGR", "RGB"])
def test_the_tensor_is_the_toolkits(options, tmp_path, resizing, height, width, mode):
    decode = {"DecodeImage": {"img_mode": mode, "channel_first": False}}
    given = (decode, {"DetLabelEncode": None}, {"DetResizeForTest": resizing})
    with_transforms(tmp_path, *given, {"NormalizeImage": OWN}, *ENDS)
    task = make_task(**options)
    assert task.inputs[0].shape == (3, height, width) and task.inputs[0].channel_order == mode
    pixels = cv2.imread(str(tmp_path / "val0.png"))
    pixels = cv2.resize(pixels if mode == "BGR" else pixels[..., ::-1], (width, height))
    mean, std = (np.array(OWN[of], "float32") for of in ("mean", "std"))
    expected = (pixels.astype("float32") * np.float32(1 / 255) - mean) / std
    batch = next(task.eval_batches("val", 1))
    assert np.array_equal(batch.inputs[0][0], expected.transpose(2, 0, 1))
    (region,) = batch.targets[0]
    assert np.ptp([x for x, _ in region.points]) == pytest.approx(60 * width / 120)
    assert np.ptp([y for _, y in region.points]) == pytest.approx(24 * height / 80)
    assert next(task.train_batches(4, 0)).inputs[0].shape == (4, 3, height, width)


def test_an_image_of_another_shape_keeps_its_proportions(options, tmp_path):
    """Five of six images get 64 x 128 from the toolkit, and so does the engine."""
    upright = cv2.resize(cv2.imread(str(tmp_path / "val5.png")), (80, 240))
    cv2.imwrite(str(tmp_path / "val5.png"), upright)
    with_transforms(tmp_path, DECODE, {"DetResizeForTest": {"limit_side_len": 64}})
    with collected() as said:
        task = make_task(**options)
    assert task.inputs[0].shape == (3, 64, 128)
    assert "is 64 x 128, PaddleOCR's size for 5 of the 6 images" in said[0]
    (batch,) = task.eval_batches("val", 6)
    image = batch.inputs[0][5]
    # 240 x 80 becomes 64 x 32: nearly its proportions, and no pixel of it is lost.
    assert (image[:, :, 32:] == 0).all() and (image[:, :, :32] != 0).all()
    before, after = (t.eval_batches("val", 6) for t in (make_task(**options), task))
    assert np.array_equal(next(before).inputs[0], next(after).inputs[0])
    larger = make_task(**options, image_size=[96, 160])
    assert larger.inputs[0].shape == (3, 96, 160)
    (tensor,) = next(larger.eval_batches("val", 1)).inputs[0]
    assert np.array_equal(tensor[:, :64, :128], batch.inputs[0][0])


@pytest.mark.parametrize(
    ("transform", "said"),
    [
        ({"Pad": {}}, "Eval's Pad is not supported"),
        ({"DetResizeForTest": {"max_side_limit": 3}}, "key 'max_side_limit' is not supported"),
        ({"DetResizeForTest": {"limit_side_len": 9, "limit_type": "most"}}, "limit_type 'most'"),
        ({"DecodeImage": {"img_mode": "GRAY"}}, "img_mode 'GRAY'"),
        ({"NormalizeImage": {"scale": "one"}}, "scale 'one' is not a number"),
    ],
)
def test_unsupported_transforms_are_refused_by_name(options, tmp_path, transform, said):
    with_transforms(tmp_path, transform)
    with pytest.raises(TaskError, match=said):
        make_task(**options)


def test_a_distillations_student_is_searched(options, tmp_path):
    config = yaml.safe_load((tmp_path / "db.yml").read_text())
    student = {key: of for key, of in config["Architecture"].items() if key != "model_type"}
    teacher = {**student, "Backbone": {"name": "ResNet_vd", "layers": 18}}
    models = {"Teacher": teacher, "Student": student, "Student2": student}
    config["Architecture"] = {"name": "DistillationModel", "Models": models}
    parts = [{"DistillationDMLLoss": {}}, {"DistillationDBLoss": {"main_loss_type": "DiceLoss"}}]
    config["Loss"] = {"name": "CombinedLoss", "loss_config_list": parts}
    (tmp_path / "db.yml").write_text(yaml.safe_dump(config))
    network = DBNetwork("small", 0.35, True, 32)
    arrays = network.state_dict()
    whole = {f"{name}.{key}": arrays[key] for name in ("Student", "Student2") for key in arrays}
    paddle.save({**whole, "Teacher.conv.weight": paddle.ones([3])}, options["weights"])
    with collected() as said:
        task = make_task(**options)
        model = task.build_model()
    for name, array in model.state_dict().items():
        assert np.array_equal(array.numpy(), arrays[name].numpy())
    assert said[0].startswith("of the distillation, Student is searched")
    assert f"{len(arrays) + 1} of a teacher" in said[-1]
    assert task._loss_settings["main_loss_type"] == "DiceLoss"
    models.pop("Student")
    (tmp_path / "db.yml").write_text(yaml.safe_dump(config))
    with pytest.raises(TaskError, match="has no 'Student' to search; it names Student2, Teacher"):
        make_task(**options)


def test_crops_are_aligned_with_their_target_maps(options):
    task = make_task(**options)
    for batch in task.train_batches(4, seed=3):
        bright = batch.inputs[0].mean(1) > 0.5
        cores = batch.targets.cores > 0
        assert cores.any() and bright[cores].mean() > 0.9


def test_it_learns(options):
    task = make_task(**options)
    model = task.build_model()
    trainer = Trainer(model, task, steps=30, learning_rate=0.1, batch_size=4, seed=0)
    first = trainer.run(5)
    trainer.run(20)
    assert trainer.run(5) < 0.9 * first


def test_groups_of_the_threshold_branch_are_excluded(options):
    task = make_task(**options)
    survey = survey_groups(task.build_model, task.inputs)
    assert not any("thresh" in group.name for group in survey.groups)
    reasons = {item.reason for item in survey.excluded if "thresh.conv1" in item.name}
    assert reasons == {"runs in training only"}
    assert any(group.name.startswith("neck.p2") for group in survey.groups)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("name: MobileNetV3", "name: ResNet", r"Backbone 'ResNet' cannot be searched"),
        ("out_channels: 32", "out_channels: 32, use_asf: true", r"DBFPN: key 'use_asf' is not"),
        ("[64, 96]", "[64, 100]", r"64 x 100: both sides must be multiples of 32"),
        ("Architecture:", "Other:", r"has no Architecture"),
        ("Architecture:", "Architecture: [", r"is not YAML"),
    ],
)
def test_configurations_that_cannot_be_used(options, tmp_path, old, new, message):
    file = tmp_path / "db.yml"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(TaskError, match=message):
        make_task(**options)


def test_a_missing_configuration(options, tmp_path):
    with pytest.raises(TaskError, match=r"none\.yml is missing"):
        make_task(str(tmp_path / "none.yml"), options["weights"])


def test_a_damaged_image_is_refused_before_anything_starts(options, tmp_path):
    (tmp_path / "train2.png").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match=r"train\.txt:3: image .*train2\.png cannot be read"):
        make_task(**options)
