import cv2
import numpy as np
import paddle
import pytest
from PIL import Image, ImageDraw, ImageFont

from spaces.errors import DataError, TaskError, WeightsError
from trainables.checking import check_task
from trainables.remarks import collected
from trainables.tasks.paddleocr.crnn_network import CRNNetwork
from trainables.tasks.paddleocr.task import make_task
from trainables.training import Trainer

CONFIG = """
Global: {{character_dict_path: {root}/keys.txt, use_space_char: false, max_text_length: 4}}
Architecture:
  model_type: rec
  algorithm: CRNN
  Transform:
  Backbone: {{name: MobileNetV3, scale: 0.35, model_name: small, small_stride: [1, 2, 2, 2]}}
  Neck: {{name: SequenceEncoder, encoder_type: rnn, hidden_size: 16}}
  Head: {{name: CTCHead, fc_decay: 0.00001}}
Loss: {{name: CTCLoss}}
PostProcess: {{name: CTCLabelDecode}}
Metric: {{name: RecMetric, main_indicator: acc}}
Train:
  dataset:
    name: SimpleDataSet
    data_dir: {root}
    label_file_list: ["{root}/train.txt"]
    transforms: [{{DecodeImage: {{img_mode: BGR}}}}, {{RecAug: }}, {{CTCLabelEncode: }}]
  loader: {{batch_size_per_card: 8}}
Eval:
  dataset:
    data_dir: {root}
    label_file_list: ["{root}/val.txt"]
    transforms:
      - DecodeImage: {{img_mode: BGR, channel_first: false}}
      - CTCLabelEncode:
      - RecResizeImg: {{image_shape: [3, 32, 64]}}
      - KeepKeys: {{keep_keys: ['image', 'label', 'length']}}
"""
KEYS = "ox7Lé"


def write_data(root):
    """Write lines of three characters in dark ink on light paper."""
    rng = np.random.default_rng(0)
    font = ImageFont.load_default(22)
    for split, count in (("train", 24), ("val", 12)):
        lines = []
        for number in range(count):
            text = "".join(KEYS[one] for one in rng.integers(len(KEYS), size=3))
            paper = rng.integers(190, 255, (30, 56, 3), dtype=np.uint8)
            image = Image.fromarray(paper)
            ImageDraw.Draw(image).text((4, 1), text, (20, 20, 40), font)
            image.save(root / f"{split}{number}.png")
            lines.append(f"{split}{number}.png\t{text}")
        (root / f"{split}.txt").write_text("\n".join(lines))
    (root / "keys.txt").write_text("\n".join(KEYS) + "\n")
    (root / "crnn.yml").write_text(CONFIG.format(root=root))


@pytest.fixture
def options(tmp_path):
    write_data(tmp_path)
    paddle.seed(0)
    network = CRNNetwork(6, "small", 0.35, (1, 2, 2, 2), hidden_size=16)
    paddle.save(network.state_dict(), str(tmp_path / "w.pdparams"))
    return {"config_file": str(tmp_path / "crnn.yml"), "weights": str(tmp_path / "w.pdparams")}


def changed(tmp_path, old, new):
    file = tmp_path / "crnn.yml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def test_it_learns(options):
    task = make_task(**options)
    trainer = Trainer(task.build_model(), task, steps=25, learning_rate=0.1, batch_size=8, seed=0)
    first = trainer.run(5)
    trainer.run(15)
    assert trainer.run(5) < 0.75 * first


def test_every_demand_is_met(options, tmp_path):
    """Training until lines are read takes minutes: a low score for the blank reads something."""
    changed(tmp_path, "main_indicator: acc", "main_indicator: norm_edit_dis")
    weights = paddle.load(options["weights"])
    weights["head.fc.bias"] -= paddle.to_tensor([5.0, 0, 0, 0, 0, 0])
    paddle.save(weights, options["weights"])
    demands = {demand.name: demand for demand in check_task("paddleocr", options)}
    assert {name: demand.said for name, demand in demands.items() if not demand.met} == {}
    assert "text_similarity 0." in demands["metric"].said
    assert demands["export"].said.startswith("the engine's outputs differ")
    assert "a recurrent layer stays whole" in demands["pruning groups"].said
    assert demands["quantization"].said.startswith("int8_ptq runs; int8_qat quantizes")


def test_samples_their_texts_and_their_batches(options):
    with collected() as said:
        task = make_task(**options)
    assert task.inputs[0].shape == (3, 32, 64) and task.inputs[0].channel_order == "BGR"
    (batch,) = task.eval_batches("val", 10)
    assert batch.inputs[0].shape == (6, 3, 32, 64) and set("".join(batch.targets)) <= set(KEYS)
    first, second = task.train_batches(8, 0), task.train_batches(8, 1)
    assert next(first).targets.classes.tolist() != next(second).targets.classes.tolist()
    assert any("omitted in training: RecAug" in remark for remark in said)


@pytest.mark.parametrize("mode", ["BGR", "RGB"])
@pytest.mark.parametrize(
    ("high", "wide", "resized"), [(30, 56, 60), (33, 33, 32), (20, 41, 64), (32, 11, 11)]
)
def test_the_tensor_is_the_toolkits(options, tmp_path, high, wide, resized, mode):
    """RecResizeImg, by hand: 32 high, the width rounded up, at most 64, the rest zero."""
    pixels = np.random.default_rng(1).integers(0, 256, (high, wide, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "one.png"), pixels)
    (tmp_path / "val.txt").write_text("one.png\tox\none.png\tox")
    changed(tmp_path, "{img_mode: BGR, channel_first: false}", f"{{img_mode: {mode}}}")
    (tensor,) = next(make_task(**options).eval_batches("val", 1)).inputs[0]
    pixels = pixels if mode == "BGR" else pixels[..., ::-1]
    image = cv2.resize(np.ascontiguousarray(pixels), (resized, 32)).astype("float32")
    expected = np.zeros((3, 32, 64), "float32")
    expected[:, :, :resized] = (image.transpose(2, 0, 1) / 255 - 0.5) / 0.5
    assert np.array_equal(tensor, expected)


def test_without_padding_a_line_fills_the_width(options, tmp_path):
    changed(tmp_path, "image_shape: [3, 32, 64]", "image_shape: [3, 32, 64], padding: false")
    tensor = next(make_task(**options).eval_batches("val", 1)).inputs[0][0]
    assert (tensor[:, :, 60:] > 0).all()


def test_scores_of_training_become_the_chances_that_a_teacher_gives(options):
    task = make_task(**options)
    model = task.build_model()
    (images,) = next(task.eval_batches("val", 2)).inputs
    model.eval()
    expected = model(paddle.to_tensor(images))
    # Batch norms stay as they are: only the head knows the difference.
    model.head.train()
    found = task.exported(model(paddle.to_tensor(images)))
    assert np.allclose(found.numpy(), expected.numpy(), atol=1e-6)


def test_another_width_of_the_engine(options):
    task = make_task(**options, image_size=[32, 96])
    assert task.inputs[0].shape == (3, 32, 96)


def test_lines_that_need_more_columns_are_not_trained_on(options, tmp_path):
    lines = [f"train{number}.png\t{'oooo' if number < 5 else 'oxox'}" for number in range(24)]
    (tmp_path / "train.txt").write_text("\n".join(lines))
    with collected() as said:
        task = make_task(**options, image_size=[32, 24])
    assert "5 of the 24 lines of Train are not trained on: the network has 6 columns" in said[-2]
    assert {len(batch.targets.lengths) for batch in task.train_batches(19, 0)} == {19}
    with pytest.raises(TaskError, match="no line of Train has a text that fits"):
        make_task(**options, image_size=[32, 8])


def test_without_a_dictionary_labels_are_digits_and_letters(options, tmp_path):
    changed(tmp_path, f"character_dict_path: {tmp_path}/keys.txt", "character_dict_path:")
    (tmp_path / "train.txt").write_text("train0.png\tOx-7")
    (tmp_path / "val.txt").write_text("val0.png\tO.K\nval1.png\t7")
    task = make_task(**options)
    assert next(task.train_batches(1, 0)).targets.classes.tolist() == [[25, 34, 8]]
    assert task.build_untrained().head.fc.weight.shape == [32, 37]


def test_a_network_without_recurrent_layers(options, tmp_path):
    changed(tmp_path, "encoder_type: rnn, hidden_size: 16", "encoder_type: reshape")
    assert make_task(**options).build_untrained().neck.encoder is None


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("name: MobileNetV3", "name: ResNet", "Backbone 'ResNet' cannot be searched; MobileNetV3"),
        ("name: CTCHead", "name: AttentionHead", "Head 'AttentionHead' cannot be searched"),
        ("encoder_type: rnn", "encoder_type: svtr", "encoder_type 'svtr' cannot be searched"),
        ("Transform:", "Transform: {name: TPS}", "Transform 'TPS' cannot be searched; none can"),
        ("model_type: rec", "model_type: cls", "model_type 'cls' cannot be searched; det and rec"),
        ("model_name: small", "model_name: tiny", "model_name 'tiny' is not one of large, small"),
        ("[1, 2, 2, 2]", "[1, 2, 2]", r"small_stride \[1, 2, 2\] is not a list of four"),
        ("[1, 2, 2, 2]", "[2, 2, 2, 2]", "makes 0 x 16 values, and one row is needed"),
        ("[3, 32, 64]", "[1, 32, 64]", r"image_shape \[1, 32, 64\] is not supported"),
        ("RecResizeImg", "SRNRecResizeImg", "Eval's SRNRecResizeImg is not supported"),
        ("[3, 32, 64]", "[3, 32, 64], infer_mode: true", "infer_mode true is not supported"),
        ("name: RecMetric", "name: CNTMetric", "Metric 'CNTMetric' with main_indicator 'acc' is"),
        ("name: CTCLoss", "name: ACELoss", "Loss 'ACELoss' is not supported; CTCLoss is"),
        ("name: SimpleDataSet", "name: LMDBDataSet", "Train.dataset 'LMDBDataSet' cannot be read"),
        ("keys.txt", "none.txt", r"character_dict_path .*none\.txt cannot be read"),
    ],
)
def test_configurations_that_cannot_be_used(options, tmp_path, old, new, message):
    changed(tmp_path, old, new)
    with pytest.raises(TaskError, match=message):
        make_task(**options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("oxoxo", "train.txt:1: 'oxoxo' has 5 characters, max_text_length is 4"),
        ("oz", "train.txt:1: 'z' in 'oz' is not in the dictionary"),
        ("", "train.txt:1: 'train0.png' is not \"path<tab>text\""),
    ],
)
def test_labels_that_cannot_be_used(options, tmp_path, text, message):
    lines = (tmp_path / "train.txt").read_text().splitlines()
    (tmp_path / "train.txt").write_text("\n".join([f"train0.png\t{text}", *lines[1:]]))
    with pytest.raises(DataError) as caught:
        make_task(**options)
    assert message in str(caught.value)


def test_weights_of_another_dictionary_are_refused(options, tmp_path):
    (tmp_path / "keys.txt").write_text("\n".join(KEYS + "z"))
    with pytest.raises(WeightsError, match=r"head\.fc\.weight has shape"):
        make_task(**options).build_model()
