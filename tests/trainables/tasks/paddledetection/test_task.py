import json

import paddle
import pytest

from spaces.errors import DataError, TaskError
from tests.trainables.tasks.toolkits import detection_data
from trainables.checking import check_task
from trainables.remarks import collected
from trainables.tasks.paddledetection.task import make_task


@pytest.fixture
def options(tmp_path):
    pytest.importorskip("ppdet.modeling")
    config = detection_data(tmp_path)
    paddle.seed(0)
    detector = make_task(str(config), "", 96).detector()
    paddle.save(detector.state_dict(), str(tmp_path / "w.pdparams"))
    weights = str(tmp_path / "w.pdparams")
    return {"config_file": str(config), "weights": weights, "image_size": 96}


def test_the_task_meets_every_demand_except_a_trained_metric(options):
    unmet = [demand for demand in check_task("paddledetection", options) if not demand.met]
    assert [demand.name for demand in unmet] == ["metric"]
    assert "is 0" in unmet[0].said


def test_boxes_follow_their_image(options):
    """Scaled with it, and mirrored with it: a box's pixels are as bright as before."""
    task = make_task(**{**options, "image_size": 64})
    for mirrored in (False, True):
        loaded = task.reader.load(task._samples["train"][0], mirrored)
        image, boxes = loaded.tensor, loaded.boxes
        assert image.shape == (3, 64, 64)
        assert boxes
        for box in boxes:
            top, bottom = round(box.top) + 2, round(box.bottom) - 2
            left, right = round(box.left) + 2, round(box.right) - 2
            assert image[box.label, top:bottom, left:right].mean() > 0.5


def test_another_architecture_is_refused_with_the_reason(options, tmp_path):
    config = tmp_path / "yolo.yml"
    config.write_text(config.read_text().replace("architecture: YOLOv3", "architecture: FCOS"))
    with pytest.raises(TaskError, match=r"'FCOS' cannot be searched .*not supported.*YOLOv3"):
        make_task(**options)


def test_a_box_outside_its_image_is_refused_before_anything_starts(options, tmp_path):
    annotations = tmp_path / "train.json"
    text = annotations.read_text()
    annotations.write_text(text.replace('"bbox": [', '"bbox": [9', 1))
    with pytest.raises(DataError, match=r"train\.json: annotations\[0\]: .* outside its image"):
        make_task(**options)


def test_without_a_test_set_each_class_is_halved(options, tmp_path):
    """Every other image would be of one class each."""
    file = tmp_path / "val.json"
    content = json.loads(file.read_text())
    for annotation in content["annotations"]:
        annotation["category_id"] = 1 + annotation["image_id"] % 2
    file.write_text(json.dumps(content))
    with collected() as said:
        task = make_task(**options)
    for split in ("val", "test"):
        scenes = [scene for batch in task.eval_batches(split, 8) for scene in batch.targets]
        assert sorted({box.label for box in scene.boxes}.pop() for scene in scenes) == [0, 0, 1, 1]
    assert len(said) == 1 and "8 images of EvalDataset are divided" in said[0]
