import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from benchmarks.sweep.drawing import segmentation
from spaces.errors import DataError, TaskError
from trainables.data.preparing import prepare, read_pixels
from trainables.data.splitting import halves
from trainables.tasks.paddleseg.input import add_label_fields
from trainables.tasks.paddleseg.task import make_task

datasets = pytest.importorskip("paddleseg.datasets")
LAYOUTS = ["Cityscapes", "PascalVOC", "ADE20K", "OpticDiscSeg", "PascalContext", "CocoStuff"]
LAYOUTS += ["STARE", "DRIVE", "HRF", "CHASEDB1", "PPHumanSeg14K", "MiniDeepGlobeRoadExtraction"]
PORTRAITS = ["EG1800", "SUPERVISELY"]
NORMALIZE = {"type": "Normalize", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
CROP = {"type": "RandomPaddingCrop", "crop_size": [96, 64]}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def config(kind, val=(NORMALIZE,), train=(CROP, NORMALIZE), **changes):
    """Return a configuration with a data set of this kind, as the toolkit's files have it."""
    sets = {}
    for mode, transforms in (("train", train), ("val", val)):
        sets[f"{mode}_dataset"] = {"type": kind, "dataset_root": f"data/{kind}", "mode": mode}
        if kind in PORTRAITS:
            shape = {"type": "RandomAffine", "size": [224, 224]}
            if mode == "val":
                shape = {"type": "ScalePadding", "target_size": [224, 224]}
            normalized = [NORMALIZE] if mode == "train" else None
            sets[f"{mode}_dataset"] |= {
                "common_transforms": [shape] + ([NORMALIZE] if mode == "val" else []),
                "transforms1": normalized,
                "transforms2": normalized,
            }
        else:
            sets[f"{mode}_dataset"]["transforms"] = list(transforms)
    return {
        "batch_size": 2,
        "iters": 10,
        **sets,
        "optimizer": {"type": "SGD"},
        "lr_scheduler": {"type": "PolynomialDecay", "learning_rate": 0.01},
        "loss": {"types": [{"type": "CrossEntropyLoss"}], "coef": [1]},
        # As the toolkit's files do: the data set says how many classes there are.
        "model": {"type": "FastSCNN", "enable_auxiliary_loss": False, "pretrained": "http://no"},
        **changes,
    }


def write(known):
    kept = {key: value for key, value in known.items() if value is not None}
    Path("config.yml").write_text(yaml.safe_dump(kept))
    return "config.yml"


def task_of(kind, image_size=None, **changes):
    known = config(kind, **changes)
    segmentation(known)
    return make_task(write(known), "w", image_size)


def whole(task, split):
    (batch,) = task.eval_batches(split, 100)
    return batch.inputs[0], batch.targets


@pytest.mark.parametrize("kind", LAYOUTS)
def test_images_and_labels_are_those_of_the_toolkits_data_set(kind):
    # Drawn images are 72 x 96 pixels.
    task = task_of(kind, [72, 96])
    given = config(kind)["val_dataset"]
    transforms = pytest.importorskip("paddleseg.transforms")
    normalize = transforms.Normalize(NORMALIZE["mean"], NORMALIZE["std"])
    toolkits = getattr(datasets, kind)(
        dataset_root=given["dataset_root"], mode="val", transforms=[normalize]
    )
    toolkits.file_list.sort()
    samples = [toolkits[index] for index in range(len(toolkits))]
    images, labels = (
        np.concatenate([whole(task, split)[part] for split in ("val", "test")]) for part in (0, 1)
    )
    order = [place for half in halves([None] * len(samples)) for place in half]
    assert np.array_equal(images, [samples[index]["img"] for index in order])
    assert np.array_equal(labels, [samples[index]["label"][0] for index in order])
    assert task.classes == toolkits.NUM_CLASSES
    batch = next(task.train_batches(2, 0))
    assert batch.inputs[0].shape == (2, 3, 72, 96) and batch.targets.shape == (2, 72, 96)
    assert task.build_untrained().classifier.conv.weight.shape[0] == task.classes


@pytest.mark.parametrize("kind", PORTRAITS)
def test_portraits_are_bgr_and_have_their_own_labels(kind):
    task = task_of(kind)
    images, labels = whole(task, "val")
    sample = task.data.held_out[first_validated(task)]
    assert np.array_equal(images[0], sample["img"]) and np.array_equal(labels[0], sample["label"])
    assert labels.shape[1:] == (224, 224) and set(np.unique(labels)) <= {0, 1}
    (spec,) = task.inputs
    assert spec.channel_order == "BGR" and spec.mean == pytest.approx(NORMALIZE["mean"][::-1])
    # Training turns labels with their images.
    assert task.data.train.transforms.transforms[0] is add_label_fields
    batch = next(task.train_batches(2, 0))
    assert batch.targets.edges.shape == (2, 1, 224, 224)


RESIZES = {
    "none": [],
    "exact": [{"type": "Resize", "target_size": [64, 48], "interp": "CUBIC"}],
    "inside": [{"type": "Resize", "target_size": [64, 300], "keep_ratio": True}],
    "divisor": [
        {"type": "Resize", "target_size": [64, 300], "keep_ratio": True, "size_divisor": 16}
    ],
    "short": [{"type": "ResizeByShort", "short_size": 48}],
    "long": [{"type": "ResizeByLong", "long_size": 64}],
    "limit": [{"type": "LimitLong", "max_long": 64}],
    "padding": [{"type": "Padding", "target_size": [100, 80]}],
    "letterbox": [
        {"type": "ResizeByLong", "long_size": 64},
        {"type": "Padding", "target_size": [64, 64], "im_padding_value": 10},
    ],
}


@pytest.mark.parametrize("resize", RESIZES)
def test_the_input_is_the_toolkits_and_the_manifest_describes_it(resize):
    known = config("OpticDiscSeg", val=(*RESIZES[resize], NORMALIZE))
    segmentation(known)
    file = write(known)
    from paddleseg.cvlibs import Config, SegBuilder

    untouched = SegBuilder(Config(file)).val_dataset
    size = untouched[0]["img"].shape[1:]
    task = make_task(file, "w", list(size))
    images, labels = whole(task, "val")
    assert np.array_equal(images[0], untouched[first_validated(task)]["img"])
    (spec,) = task.inputs
    pixels = read_pixels(task_file(task), spec.image)
    assert np.array_equal(prepare(pixels, spec), images[0])
    shown = labels[0] != 255
    assert (labels[0][shown] <= 1).all() and (resize in ("padding", "letterbox")) != shown.all()


def task_file(task):
    return Path(task.data.held_out.file_list[first_validated(task)][0])


def first_validated(task):
    """The place in the list of the first image that is validated on."""
    return halves([None] * len(task.data.held_out.file_list))[0][0]


@pytest.mark.parametrize("resize", ["none", "padding", "letterbox"])
def test_other_sizes_are_resized_to_the_engines_as_the_manifest_says(resize):
    known = config("OpticDiscSeg", val=(*RESIZES[resize], NORMALIZE))
    segmentation(known)
    task = make_task(write(known), "w", [40, 32])
    images, labels = whole(task, "val")
    (spec,) = task.inputs
    found = prepare(read_pixels(task_file(task), spec.image), spec)
    assert np.array_equal(found, images[0]) and labels.shape[1:] == (40, 32)


def test_without_a_normalization_pixels_stay_as_they_are():
    task = task_of("OpticDiscSeg", val=(), train=(CROP,))
    assert task.inputs[0].scale == 1 and whole(task, "val")[0].max() > 2


def test_ade20k_has_its_150th_class_and_none_of_number_0(tmp_path):
    known = config("ADE20K")
    segmentation(known)
    for index, file in enumerate(sorted(tmp_path.glob("data/ADE20K/annotations/*/*"))):
        Image.fromarray(np.full((72, 96), 150 * (index % 2), "uint8")).save(file)
    task = make_task(write(known), "w", [72, 96])
    assert set(np.unique([whole(task, split)[1] for split in ("val", "test")])) == {149, 255}


def test_losses_that_need_edges_get_them():
    loss = {"types": [{"type": "BCELoss", "edge_label": True}], "coef": [1]}
    with pytest.raises(TaskError, match="BCELoss needs edges; give train_dataset edge: true"):
        task_of("Cityscapes", loss=loss)
    known = config("Cityscapes", loss=loss)
    known["train_dataset"]["edge"] = True
    task = make_task(write(known), "w", 32)
    assert next(task.train_batches(2, 0)).targets.edges.shape == (2, 1, 32, 32)


def test_a_varied_crop_is_of_the_image():
    crop = {**CROP, "crop_size": [40, 40], "category_max_ratio": 0.75}
    task = task_of("Cityscapes", train=(crop, NORMALIZE))
    assert next(task.train_batches(2, 0)).inputs[0].shape == (2, 3, 40, 40)


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        ("Nothing", {}, r"component \(Nothing\) was not found"),
        ("ADE20K", {"val": ({"type": "RandomBlur"},)}, "RandomBlur is random"),
        ("ADE20K", {"val": ({"type": "ScalePadding"},)}, "ScalePadding does not pad labels"),
        ("ADE20K", {"val": ({"type": "Sharpen"},)}, r"component \(Sharpen\) was not found"),
        ("ADE20K", {"loss": {"types": [{"type": "My"}], "coef": [1]}}, r"\(My\) was not found"),
        ("ADE20K", {"val_dataset": None}, "has no val_dataset"),
    ],
)
def test_unsupported_settings_are_refused_by_name(kind, changes, said):
    with pytest.raises(TaskError, match=said) as refused:
        task_of(kind, **changes)
    assert len(str(refused.value)) < 300 and "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", [*LAYOUTS, *PORTRAITS])
def test_nothing_is_downloaded(kind):
    file = write(config(kind))
    with pytest.raises(TaskError, match=re.escape(f"dataset_root data/{kind} is missing")):
        make_task(file, "w")


def test_a_missing_file_that_shifts_pairs_is_noticed(tmp_path):
    known = config("Cityscapes")
    segmentation(known)
    sorted(tmp_path.glob("data/Cityscapes/gtFine/train/*/*"))[0].unlink()
    with pytest.raises(DataError, match="is paired with"):
        make_task(write(known), "w")


def test_image_size_is_a_side_or_two():
    with pytest.raises(TaskError, match=r"image_size \[1, 2, 3\] is not a size"):
        task_of("Cityscapes", [1, 2, 3])
