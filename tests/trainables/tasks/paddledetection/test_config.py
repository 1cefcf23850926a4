"""Configuration files in every form that PaddleDetection's releases have."""

import json

import numpy as np
import pytest

from spaces.errors import DataError, TaskError
from tests.trainables.tasks.toolkits import YOLO, detection_data
from trainables.data.problems import Problems
from trainables.tasks.paddledetection.config import plain_settings, read_detection_config
from trainables.tasks.paddledetection.task import make_task

pytest.importorskip("ppdet.modeling")

VOC = """
<annotation><size><width>96</width><height>96</height><depth>3</depth></size>
<object><name>{name}</name><difficult>{hard}</difficult>
<bndbox><xmin>4</xmin><ymin>6</ymin><xmax>40</xmax><ymax>50</ymax></bndbox></object></annotation>
"""


def compared(task, key):
    """Our samples of a data set and the toolkit's, as (file, corners, labels)."""
    dataset = task.dataset(key)
    dataset.data_fields = ["image", "gt_bbox", "gt_class"]
    dataset.parse_dataset()
    theirs = [
        (record["im_file"], record["gt_bbox"].tolist(), record["gt_class"].ravel().tolist())
        for record in dataset.roidbs
    ]
    ours = [
        (
            str(sample.image),
            [[b.left, b.top, b.right, b.bottom] for b in sample.boxes],
            [b.label for b in sample.boxes],
        )
        for sample in task.read(key)
    ]
    return sorted(ours), sorted(theirs)


@pytest.fixture
def voc(tmp_path):
    """A function: a configuration of VOC's data with these classes, and with this data set."""
    detection_data(tmp_path)

    def write(names, form, label_list="label_list: names.txt,"):
        (tmp_path / "names.txt").write_text("\n".join(names) + "\n")
        lines = []
        for number in range(8):
            text = VOC.format(name=names[number % len(names)], hard=number % 2)
            (tmp_path / f"images/{number}.xml").write_text(text)
            lines.append(f"images/train{number}.png images/{number}.xml")
        (tmp_path / "list.txt").write_text("\n".join(lines))
        parts = YOLO.format(root=tmp_path).split("TrainDataset:")[0]
        options = f"dataset_dir: {tmp_path}, anno_path: list.txt, {label_list}"
        for key in ("TrainDataset", "EvalDataset"):
            parts += f"{key}: {form.format('VOC')}{options}}}\n"
        (tmp_path / "voc.yml").write_text(
            parts.replace("num_classes: 2", "num_classes: 20\nmetric: VOC")
        )
        return str(tmp_path / "voc.yml")

    return write


TAG, NAME = "!{}DataSet {{", "{{name: {}DataSet, "


@pytest.mark.parametrize("form", [TAG, NAME])
def test_data_sets_of_both_forms_are_the_toolkits(voc, tmp_path, form):
    task = make_task(voc(["traffic light", "stop"], form), "w", 64)
    ours, theirs = compared(task, "TrainDataset")
    assert ours == theirs and {label for *_, labels in ours for label in labels} == {0, 1}
    assert len(task.ious) == 1
    # Without a list of names: the toolkit's twenty.
    task = make_task(voc(["person", "tvmonitor"], form, ""), "w", 64)
    ours, theirs = compared(task, "EvalDataset")
    assert ours == theirs and {label for *_, labels in ours for label in labels} == {14, 19}
    text = YOLO.format(root=tmp_path).replace(TAG.format("COCO"), form.format("COCO"))
    assert form.format("COCO") in text
    (tmp_path / "coco.yml").write_text(text)
    task = make_task(str(tmp_path / "coco.yml"), "w", 64)
    ours, theirs = compared(task, "TrainDataset")
    assert ours == theirs and len(ours) == 12 and len(task.ious) == 10


@pytest.mark.parametrize(
    ("options", "count"),
    [("", 3), ("allow_empty: true", 5), ("sample_num: 2", 2), ("load_crowd: true", 4),
     ("allow_empty: true, empty_ratio: 0.25", 4)],
)  # fmt: skip
def test_the_toolkits_choice_of_images(tmp_path, options, count):
    config = detection_data(tmp_path)
    content = json.loads((tmp_path / "train.json").read_text())
    content["images"] = content["images"][:5]
    # Of a crowd, of nothing, and with one box of no area.
    content["categories"].reverse()
    for annotation in content["annotations"]:
        annotation["iscrowd"] = int(annotation["image_id"] == 0)
        annotation["area"] = 0 if annotation["image_id"] == 2 and annotation["id"] % 2 else 576
    kept = [a for a in content["annotations"] if a["image_id"] not in (1, *range(5, 12))]
    for image in content["images"]:
        image.update(width=96, height=96)
    content["annotations"] = [{**a, "segmentation": []} for a in kept]
    (tmp_path / "train.json").write_text(json.dumps(content))
    more = f"anno_path: train.json{', ' * bool(options)}{options}"
    config.write_text(config.read_text().replace("anno_path: train.json", more))
    task = make_task(str(config), "w", 64)
    ours, theirs = compared(task, "TrainDataset")
    assert len(ours) == len(theirs) == count
    if "crowd" in options:
        assert ours == theirs
    elif "empty_ratio" not in options:
        assert [name for name, *_ in ours] == [name for name, *_ in theirs]
    full = {name: of for name, *of in theirs if of[0]}
    assert all(of == full[name] for name, *of in ours if name in full)


def test_a_configuration_read_before_has_no_effect(tmp_path):
    first = detection_data(tmp_path)
    alone = read_detection_config(first)
    other = tmp_path / "other.yml"
    other.write_text(
        first.read_text().replace("ignore_thresh: 0.7", "ignore_thresh: 0.1")
        + "norm_decay: 1.0\nYOLOv3FPN: {freeze_norm: true}\nEvalReader: {batch_size: 3}\n"
    )
    read_detection_config(other)
    again = read_detection_config(first)
    assert again["YOLOv3Loss"]["ignore_thresh"] == 0.7 and "norm_decay" not in again
    assert again["YOLOv3FPN"] == alone["YOLOv3FPN"] == {} and again["EvalReader"] == {}


def test_included_files_come_first_and_are_read_as_the_toolkit_reads_them(tmp_path):
    whole = detection_data(tmp_path)
    head, data = whole.read_text().split("TrainDataset:")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/data.yml").write_text("TrainDataset:" + data)
    (tmp_path / "parts/model.yml").write_text("_BASE_: [data.yml]\n" + head)
    child = tmp_path / "child.yml"
    child.write_text("_BASE_: [parts/model.yml]\nYOLOv3Loss: {label_smooth: true}\n")
    config = read_detection_config(child)
    assert dict(config["YOLOv3Loss"]) == {
        "ignore_thresh": 0.7, "downsample": [32, 16, 8], "label_smooth": True
    }  # fmt: skip
    plain = plain_settings(child)
    assert plain["TrainDataset"]["name"] == "COCODataSet"
    for name in ("YOLOv3Head", "YOLOv3Loss", "BBoxPostProcess", "MobileNet"):
        assert plain[name] == dict(config[name])
    assert make_task(str(child), "w", 64).classes == 2


RCNN = """{whole}architecture: FasterRCNN
_: &heads {rpn_head: RPNHead, bbox_head: BBoxHead, bbox_post_process: BBoxPostProcess}
"""


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("_BASE_: [none.yml]", r"none\.yml \(included by .*\) is missing"),
        ("_BASE_: [bad.yml]", "includes itself"),
        ("a: [", "is not YAML"),
        ("a: " + "[" * 3000, "is not YAML .nested deeper"),
        ("- 1", "is not a mapping"),
        ("a: !!python/object/apply:os.system [touch ran]", "could not determine a constructor"),
        ("a: !<tag:yaml.org,2002:python/name:os.system> ''", "could not determine a constructor"),
        ("num_classes: 2", "has no architecture; name a whole"),
        ("architecture: YOLOv3", "has no num_classes"),
        ("{whole}metric: RBOX", "metric 'RBOX' is not supported; COCO and VOC are"),
        ("{whole}TrainDataset: {name: WIDERFaceDataSet}", "TrainDataset is WIDERFaceDataSet; COCO"),
        ("{whole}TrainDataset: {name: NoDataSet}", "NoDataSet cannot be built"),
        ("{whole}TrainDataset: {name: COCODataSet, dataset: 1}", "COCODataSet cannot be built"),
        ("{whole}TrainDataset: {name: COCODataSet}", "TrainDataset has no anno_path"),
        ("{whole}num_classes: 1", r"num_classes is 1, TrainDataset has boxes of class 2, 'green'"),
        ("{whole}YOLOv3: {yolo_head: PPYOLOEHead}", "yolo_head PPYOLOEHead cannot be searched"),
        ("{whole}YOLOv3: {post_process: null}", "post_process None cannot be searched"),
        (
            RCNN + "FasterRCNN: {<<: *heads, backbone: VisionTransformer}",
            "VisionTransformer cannot be traced",
        ),
        (
            RCNN + "FasterRCNN: {<<: *heads, backbone: ResNet}\nuse_cot: true",
            "use_cot: true is not supported",
        ),
        ("{whole}architecture: FasterRCNN", "rpn_head missing cannot be searched"),
        (RCNN + "FasterRCNN: {<<: *heads, bbox_head: CascadeHead}", "CascadeHead cannot be"),
        ("{whole}YOLOv3Head: {loss: JDEDetectionLoss}", "loss JDEDetectionLoss is not supported"),
        ("{whole}YOLOv3Head: {objectness: 1}", "YOLOv3Head: 'objectness' is not supported"),
        ("{whole}data_format: NHWC", "data_format NHWC is not NCHW"),
        ("{whole}BBoxPostProcess: {nms: {name: SOFTNMS}}", "BBoxPostProcess cannot be built"),
        (
            "{whole}BBoxPostProcess: {nms: {name: MultiClassNMS, nms_eta: 0.9}}",
            "nms_eta 0.9 is not",
        ),
        ("{whole}architecture: PPYOLOE", "architecture 'PPYOLOE' cannot be searched"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(tmp_path, monkeypatch, text, what):
    monkeypatch.chdir(tmp_path)
    whole = detection_data(tmp_path).read_text()
    bad = tmp_path / "bad.yml"
    if text.startswith("{whole}"):
        (tmp_path / "whole.yml").write_text(whole)
        text = f"_BASE_: [whole.yml]\n{text.removeprefix('{whole}')}"
    bad.write_text(text)
    with pytest.raises(TaskError, match=what) as refused:
        make_task("bad.yml", "w", 64)
    assert "\n" not in str(refused.value) and len(str(refused.value)) <= 300
    assert not (tmp_path / "ran").exists()


def test_a_missing_list_of_classes(voc):
    file = voc(["a"], NAME, "label_list: none.txt")
    with pytest.raises(DataError, match=r"label_list .*none\.txt cannot be read"):
        make_task(file, "w", 64)


def test_weights_of_a_backbone_are_not_downloaded(tmp_path):
    config = detection_data(tmp_path)
    address = "SwinTransformer: {pretrained: 'https://example.invalid/swin.pdparams'}\n"
    config.write_text(config.read_text() + address)
    assert read_detection_config(config)["SwinTransformer"]["pretrained"] is None


def test_problems_are_collected(voc):
    task = make_task(voc(["a b"], TAG), "w", 64)
    problems = Problems()
    assert len(task._read("TrainDataset", problems)) == 8 and not problems.found
    assert np.mean([box.hard for s in task.read("TrainDataset") for box in s.boxes]) == 0.5
