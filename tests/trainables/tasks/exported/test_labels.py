"""Labels for exported models: the metric is theirs, on the images that have one."""

import json
import shutil

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from paddle import nn
from PIL import Image

from spaces.errors import UserError
from tests.trainables.compression.networks import IMAGE, Residual
from tests.trainables.tasks.exported.exports import export
from trainables.evaluation import eager, evaluate
from trainables.models import new_model
from trainables.remarks import collected
from trainables.task import SPLITS, ModelInput
from trainables.tasks.exported.task import make_task

COUNT = 12
# Height and width of the input; images are twice as large.
HEIGHT, WIDTH = 32, 48
PLAIN = {"mean": 0, "std": 1, "scale": "1/255"}


class Colours(nn.Layer):
    """Finds green at each place; `end` makes its output from red and green."""

    def __init__(self, end):
        super().__init__()
        self.filter, self.end = nn.Conv2D(3, 2, 1), end
        self.filter.weight.set_value(np.eye(3, dtype="f4")[:2, :, None, None] * 20)
        self.filter.bias.set_value(np.array([0, -10], "f4"))

    def forward(self, x):
        return self.end(self.filter(x))


def exported(end, folder):
    return str(export(Colours(end), (ModelInput("x", (3, HEIGHT, WIDTH)),), folder / "model"))


def value(task, split="val"):
    return task.metric.aggregate(evaluate(eager(new_model(task)), task, split, 5))


def labelled(folder, lines):
    (folder / "labels.txt").write_text("\n".join(lines))
    return str(folder / "labels.txt")


@pytest.fixture(scope="module")
def rectangles(tmp_path_factory):
    """Red photos with a green rectangle each, with the rectangles' left, top, right, bottom."""
    folder, found = tmp_path_factory.mktemp("rectangles"), []
    for number in range(COUNT):
        left, top = 10 + 2 * number, 8 + 2 * (number % 4)
        found.append((left, top, left + 40, top + 20))
        pixels = np.zeros((2 * HEIGHT, 2 * WIDTH, 3), np.uint8)
        pixels[..., 0] = 255
        mask = np.zeros(pixels.shape[:2], np.uint8)
        pixels[top : top + 20, left : left + 40] = (0, 255, 0)
        mask[top : top + 20, left : left + 40] = 1
        Image.fromarray(pixels).save(folder / f"{number}.png")
        (folder / "masks").mkdir(exist_ok=True)
        # In the folder of `data`, and yet no image of it.
        Image.fromarray(mask).save(folder / f"masks/{number}.png")
    return folder, found


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """A classifier's export with photos, and the classes that it gives them."""
    folder = tmp_path_factory.mktemp("scored")
    paddle.seed(0)
    export(Residual(), IMAGE, folder / "model")
    (folder / "photos").mkdir()
    for number in range(COUNT):
        pixels = np.full((16, 16, 3), 20 * number, np.uint8)
        pixels[number : number + 4] = np.roll([250, 10, 90], number)
        Image.fromarray(pixels).save(folder / f"photos/{number}.png")
    options = {"model": str(folder / "model"), "data": str(folder / "photos"), "batch_size": 4}
    task = make_task(**options)
    found = {}
    for split in SPLITS:
        for index, batch in zip(
            task._samples.splits[split], task.eval_batches(split, 1), strict=True
        ):
            found[task._samples._files[index].name] = int(batch.targets[0].argmax())
    assert len(set(found.values())) > 1
    return options, found


def test_classes(scored, tmp_path):
    options, found = scored
    right = labelled(tmp_path, [f"{name} {label}" for name, label in found.items()])
    with collected() as said:
        task = make_task(**options, labels=right)
    assert task.metric.name == "top1_accuracy" and value(task) == 1
    assert any("the budget bounds the loss of top1_accuracy on the 12 labels" in s for s in said)
    wrong = labelled(tmp_path, [f"{name} {(label + 1) % 4}" for name, label in found.items()])
    assert value(make_task(**options, labels=wrong)) == 0


def test_only_labelled_images_are_evaluated_and_all_others_are_trained_on(scored, tmp_path):
    options, found = scored
    some = {name: found[name] for name in list(found)[:5]}
    labels = labelled(tmp_path, [f"{name} {label}" for name, label in some.items()])
    task = make_task(**options, labels=labels)
    samples = task._samples
    names = {s: {samples._files[i].name for i in samples.splits[s]} for s in SPLITS}
    assert names["val"] | names["test"] <= set(some)
    assert [len(names[split]) for split in SPLITS] == [10, 1, 1]
    # Training matches the original, so it needs no labels.
    assert len(next(task.train_batches(10, 0)).targets[0]) == 10
    assert sum(len(b.targets) for b in task.eval_batches("train", 2)) == 3


CLASS_MAPS = {
    "scores": lambda x: F.softmax(x, 1),
    "classes": lambda x: x.argmax(1),
    "with an axis of one": lambda x: x.argmax(1, keepdim=True).astype("int32"),
    # The scores' places are every second one of the input's.
    "small": lambda x: F.softmax(x[:, :, ::2, ::2], 1),
}


@pytest.mark.parametrize("name", CLASS_MAPS)
def test_masks(rectangles, tmp_path, name):
    folder, _ = rectangles
    lines = [f"{number}.png\tmasks/{number}.png" for number in range(COUNT)]
    options = {"model": exported(CLASS_MAPS[name], tmp_path), "data": str(folder), **PLAIN}
    task = make_task(**options, labels=labelled(tmp_path, lines))
    assert task.metric.name == "mean_iou" and value(task) > 0.97
    assert sum(map(len, task._samples.splits.values())) == COUNT
    # Each mask with another image.
    lines = [f"{number}.png\tmasks/{(number + 6) % COUNT}.png" for number in range(COUNT)]
    assert value(make_task(**options, labels=labelled(tmp_path, lines))) < 0.9


def text_line(number, corners, grown=0.0):
    left, top, right, bottom = corners
    left, top, right, bottom = left - grown, top - grown, right + grown, bottom + grown
    points = [[left, top], [right, top], [right, bottom], [left, bottom]]
    return f"{number}.png\t" + json.dumps([{"transcription": "a", "points": points}])


MAPS = {
    "whole": lambda x: F.sigmoid(x[:, 1:]),
    "small": lambda x: F.sigmoid(x[:, 1:, ::2, ::2]),
}


@pytest.mark.parametrize("name", MAPS)
def test_text(rectangles, tmp_path, name):
    folder, corners = rectangles
    # A finder's box is larger than what the map marks, by its area * 1.5 / its perimeter.
    lines = [text_line(n, c, 1.5 * 40 * 20 / (2 * 60)) for n, c in enumerate(corners)]
    options = {"model": exported(MAPS[name], tmp_path), "data": str(folder), **PLAIN}
    task = make_task(**options, labels=labelled(tmp_path, lines))
    assert task.metric.name == "hmean" and value(task) == 1
    lines = [text_line(n, corners[(n + 6) % COUNT]) for n in range(COUNT)]
    assert value(make_task(**options, labels=labelled(tmp_path, lines))) == 0


class Reader(nn.Layer):
    """Reads red, green and blue bars as three characters, and a blank elsewhere."""

    def __init__(self, end):
        super().__init__()
        self.filter, self.end = nn.Conv2D(3, 4, 1), end
        of_colours = 20 * np.eye(3, dtype="f4")[::-1] - 10
        self.filter.weight.set_value(
            np.concatenate([np.zeros_like(of_colours[:1]), of_colours])[..., None, None]
        )
        self.filter.bias.set_value(np.array([15, 0, 0, 0], "f4"))

    def forward(self, x):
        columns = F.avg_pool2d(self.filter(x), [8, 4])
        return self.end(columns.squeeze(2).transpose([0, 2, 1]))


READERS = {"chances": lambda x: F.softmax(x, 2), "classes": lambda x: x.argmax(2)}
TEXTS = ["a", "b", "c", "aa", "ab", "ca", "bb", "cab", "bca", "aba", "ccb", "bbb"]
INK = {"a": (255, 0, 0), "b": (0, 255, 0), "c": (0, 0, 255)}


def draw_line(text, file):
    """Draw a character as a bar, on white paper."""
    pixels = np.full((16, 32 * len(text) + 16, 3), 255, np.uint8)
    for place, one in enumerate(text):
        pixels[:, 32 * place + 16 : 32 * place + 32] = INK[one]
    Image.fromarray(pixels).save(file)


@pytest.fixture(scope="module")
def recogniser(tmp_path_factory):
    """Options for a recogniser whose export has free widths, with lines of differing widths, and
    their labels."""
    folder = tmp_path_factory.mktemp("recogniser")
    (folder / "lines").mkdir()
    for number, text in enumerate(TEXTS):
        draw_line(text, folder / f"lines/{number}.png")
    (folder / "keys.txt").write_text("a\nb\nc\n")
    for name, end in READERS.items():
        spec = ModelInput("x", (3, 8, 64), more_shapes=[(3, 8, 128)])
        export(Reader(end), (spec,), folder / name)
    options = {"model": str(folder / "chances"), "data": str(folder / "lines"), "size": [8, 64]}
    options["character_dict_path"] = str(folder / "keys.txt")
    return options, [f"{number}.png\t{text}" for number, text in enumerate(TEXTS)]


@pytest.mark.parametrize("name", READERS)
def test_lines_of_text(recogniser, tmp_path, name):
    options, lines = recogniser
    options = {**options, "model": options["model"].replace("chances", name), "kind": "line"}
    with collected() as said:
        task = make_task(**options, labels=labelled(tmp_path, lines))
    assert task.metric.name == "line_accuracy" and value(task) == value(task, "test") == 1
    assert any("the budget bounds the loss of line_accuracy on the 12 labels" in s for s in said)
    assert any("images are lines of text, resized as PaddleOCR does" in s for s in said)
    # A repeated character has to be read twice.
    wrong = [line.replace("aa", "a").replace("b", "bb") for line in lines]
    task = make_task(**options, labels=labelled(tmp_path, wrong))
    model = eager(new_model(task))
    read = np.concatenate([evaluate(model, task, split, 5) for split in SPLITS])
    # Still right are a, c and ca.
    assert len(read) == len(TEXTS) and read[:, 0].sum() == 3


def test_what_paddleocr_wrote_beside_a_recogniser_is_enough(recogniser, tmp_path):
    options, lines = recogniser
    shutil.copytree(options["model"], tmp_path / "model")
    (tmp_path / "model/inference.yml").write_text(
        "PreProcess: {transform_ops: [DecodeImage: {img_mode: BGR}, MultiLabelEncode: {},"
        " RecResizeImg: {image_shape: [3, 8, 64]}, KeepKeys: {}]}\n"
        "PostProcess: {name: CTCLabelDecode, character_dict: [a, b, c]}"
    )
    data = {"data": options["data"], "labels": labelled(tmp_path, lines)}
    task = make_task(str(tmp_path / "model"), **data)
    assert value(task) == 1
    plain = make_task(**options)
    assert plain.metric.name == "line_agreement"
    assert task.inputs == plain.inputs and task.inputs[0].shape == (3, 8, 64)


def refusal(**options):
    with pytest.raises(UserError) as caught:
        make_task(**options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("lines", "changed", "said"),
    (
        (["none.png 1"], {}, "image {photos}/none.png is missing"),
        (["0.png 4"], {}, "class 4 is out of range; the model has classes 0 to 3"),
        (["0.png"], {}, 'is not "path label"'),
        (["0.png 1", "0.png 2"], {}, "0.png is listed twice"),
        (["0.png 1", "1.png 2"], {}, "has 2 different samples"),
        (["0.png 1"], {"kind": "values"}, "kind 'values' and 2 axes has no labels"),
        (["0.png 1"], {"data": "tensors.npy"}, "labels {labels} are of images"),
    ),
)
def test_refusals(scored, tmp_path, monkeypatch, lines, changed, said):
    monkeypatch.chdir(tmp_path)
    np.save("tensors.npy", np.zeros((9, 3, 16, 16), "f4"))
    options, labels = scored[0], labelled(tmp_path, lines)
    wanted = said.format(photos=options["data"], labels=labels)
    assert wanted in refusal(**{**options, **changed}, labels=labels)


@pytest.mark.parametrize(
    ("lines", "changed", "said"),
    (
        (["0.png"], {}, "'0.png' is not \"path<tab>text\"; correct the line"),
        (["0.png\tx"], {}, "'x' in 'x' is not in the dictionary"),
        (["none.png\ta"], {}, "none.png is missing"),
        (["0.png\ta", "0.png\ta"], {}, "0.png is listed twice"),
        (["0.png\ta"], {"character_dict_path": "none"}, "none cannot be read"),
        (["0.png\ta"], {"character_dict_path": None}, "has 4 classes, and PaddleOCR's default"),
        (["0.png\ta"], {"use_space_char": True}, "keys.txt has 5 with the blank; name"),
        (["0.png\ta"], {"use_space_char": "yes"}, "use_space_char 'yes' is not true or false"),
    ),
)
def test_refused_lines(recogniser, tmp_path, lines, changed, said):
    options = {**recogniser[0], **changed}
    assert said in refusal(**options, labels=labelled(tmp_path, lines))


def test_refused_files(scored, rectangles, tmp_path):
    assert "cannot be read" in refusal(**scored[0], labels=str(tmp_path / "none.txt"))
    folder, _ = rectangles
    options = {"model": exported(MAPS["whole"], tmp_path), "data": str(folder), **PLAIN}
    outside = labelled(tmp_path, [text_line(0, (0, 0, 300, 20))])
    assert "is partly outside its image" in refusal(**options, labels=outside)
    assert "correct the line" in refusal(**options, labels=labelled(tmp_path, ["0.png 1"]))
    options["model"] = exported(CLASS_MAPS["scores"], tmp_path / "maps")
    missing = labelled(tmp_path, ["0.png\tmasks/none"])
    assert "masks/none is missing" in refusal(**options, labels=missing)
    assert '"image<tab>mask"' in refusal(**options, labels=labelled(tmp_path, ["0.png m"]))
    options["model"] = exported(lambda x: (x.mean([2, 3]), F.softmax(x, 1)), tmp_path / "two")
    assert "for one output, and the model has 2" in refusal(**options, labels=missing)
