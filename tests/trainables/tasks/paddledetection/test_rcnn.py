"""The trunk of Faster and Mask R-CNN, beside the toolkit's whole model."""

import json
from pathlib import Path

import numpy as np
import paddle
import pytest

from spaces.errors import DataError, TaskError
from spaces.plan import Plan, QuantizationChoice
from tests.trainables.tasks.toolkits import LAST_STAGE, PYRAMID, rcnn_data
from trainables.checking import check_task
from trainables.compression.graph.groups import survey_groups
from trainables.compression.pruning import pruned_model
from trainables.data.detection import Box
from trainables.deployment.engines.paddle_inference import PaddleEngine
from trainables.deployment.export import export_float, output_difference
from trainables.evaluation import eager
from trainables.tasks.paddledetection.rcnn import POLYGONS, SIZES, concat_of_scalars
from trainables.tasks.paddledetection.reader import LoadedImage
from trainables.tasks.paddledetection.task import make_task

FLOAT = QuantizationChoice.FLOAT


@pytest.fixture
def options(tmp_path):
    """A function: the task's options for a configuration of this kind, with weights by chance."""
    pytest.importorskip("ppdet.modeling")

    def make(kind, architecture="FasterRCNN"):
        config = rcnn_data(tmp_path, kind, architecture)
        paddle.seed(0)
        detector = make_task(str(config), "", 64).detector()
        # Running means and variances of the norms that go with the weights.
        for layer in detector.backbone.sublayers():
            if isinstance(layer, paddle.nn.BatchNorm2D):
                layer._momentum = 0.0
        with paddle.no_grad():
            detector.backbone({"image": paddle.randn([16, 3, 64, 64])})
        paddle.save(detector.state_dict(), str(tmp_path / "w.pdparams"))
        return {
            "config_file": str(config),
            "weights": str(tmp_path / "w.pdparams"),
            "image_size": 64,
        }

    return make


def whole_and_inputs(task, batch):
    """The toolkit's whole model with the task's weights, and what it is given for a batch."""
    detector = task.detector()
    detector.set_state_dict(paddle.load(str(task.weights)))
    targets = {
        k: of if k == POLYGONS else [paddle.to_tensor(a) for a in of]
        for k, of in batch.targets.items()
        if k != SIZES
    }
    (images,) = batch.inputs
    shapes = task.heads.shapes(batch.targets[SIZES])
    inputs = {"image": paddle.to_tensor(images), **shapes, **targets}
    return detector, inputs


@pytest.mark.parametrize("architecture", ["FasterRCNN", "MaskRCNN"])
@pytest.mark.parametrize("kind", [LAST_STAGE, PYRAMID], ids=["last stage", "pyramid"])
def test_loss_and_boxes_are_the_whole_models_own(options, kind, architecture):
    task = make_task(**options(kind, architecture))
    batch = next(task.train_batches(2, 0))
    detector, inputs = whole_and_inputs(task, batch)
    trunk = task.build_model()
    for model in (trunk, detector):
        model.train()
    for layer in detector.rpn_head.sublayers() + detector.bbox_head.sublayers():
        layer.training = not isinstance(layer, paddle.nn.BatchNorm2D)
    with concat_of_scalars():
        expected = detector(inputs)["loss"]
    assert float(task.loss(trunk(inputs["image"]), batch.targets)) == pytest.approx(
        float(expected), rel=1e-5
    )
    for model in (trunk, detector):
        model.eval()
    with concat_of_scalars(), paddle.no_grad():
        found = detector(inputs)
    maps = [m.numpy() for m in trunk(inputs["image"])]
    boxes = task.detections(maps, batch.targets[SIZES])
    rows = [[b.label, b.score, b.left, b.top, b.right, b.bottom] for of in boxes for b in of]
    expected = [row for row in found["bbox"].numpy() if row[0] >= 0 and row[1] > 0]
    assert len(rows) > 10
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-3)
    if architecture == "MaskRCNN":
        from pycocotools.mask import decode

        masks = np.stack([decode(b.mask) for of in boxes for b in of])
        kept = (found["bbox"].numpy()[:, 0] >= 0) & (found["bbox"].numpy()[:, 1] > 0)
        expected = found["mask"].numpy()[kept]
        assert 0.01 < masks.mean() < 0.99
        # A hair's breadth from one half a pixel may fall to either side.
        assert (masks == expected).mean() > 0.999


@pytest.mark.parametrize("architecture", ["FasterRCNN", "MaskRCNN"])
def test_an_image_without_detections_gets_no_boxes_of_others(options, architecture):
    task = make_task(**options(PYRAMID, architecture))
    (images,), scenes = next(task.eval_batches("val", 3))
    sizes = [scene.size for scene in scenes]
    trunk = task.build_model()
    trunk.eval()
    maps = [m.numpy() for m in trunk(paddle.to_tensor(images))]
    scores = [[b.score for b in of] for of in task.detections(maps, sizes)]
    assert all(scores)
    # So that of the three only the one with the best box has any.
    nms = task.heads.detector.bbox_post_process.nms
    best = sorted(range(3), key=lambda image: max(scores[image]))
    nms.score_threshold = (max(scores[best[1]]) + max(scores[best[2]])) / 2
    found = task.detections(maps, sizes)
    assert [bool(of) for of in found] == [image == best[2] for image in range(3)]
    alone = task.detections([m[best[2] : best[2] + 1] for m in maps], sizes[:1])[0]
    assert [(b.label, b.mask) for b in found[best[2]]] == [(b.label, b.mask) for b in alone]


def test_training_changes_the_trunk_and_not_the_heads(options):
    task = make_task(**options(LAST_STAGE))
    trunk = task.build_model()
    trunk.train()
    batch = next(task.train_batches(4, 0))
    heads = task.heads.detector
    before = {name: tensor.numpy() for name, tensor in heads.state_dict().items()}
    task.loss(trunk(paddle.to_tensor(batch.inputs[0])), batch.targets).backward()
    assert all(np.abs(p.grad.numpy()).max() > 0 for p in trunk.parameters() if p.ndim > 1)
    assert all(p.grad is None for p in heads.parameters())
    assert all(
        np.array_equal(before[name], tensor.numpy()) for name, tensor in heads.state_dict().items()
    )


def test_an_image_without_boxes_has_a_finite_loss(options):
    task = make_task(**options(PYRAMID))
    images = next(task.train_batches(4, 0)).inputs[0]
    crowd = Box(0, 5.0, 5.0, 30.0, 30.0, hard=True)
    trunk = task.build_model()
    trunk.train()
    loaded = [
        LoadedImage(i, of, (64, 64)) for i, of in zip(images, [[]] * 3 + [[crowd]], strict=True)
    ]
    loss = task.loss(trunk(paddle.to_tensor(images)), task.targets(loaded))
    loss.backward()
    assert 0 < float(loss) < 100


def test_the_maps_that_the_heads_read_are_not_pruned(options):
    task = make_task(**options(LAST_STAGE))
    survey = survey_groups(task.build_model, task.inputs, task.protected_layers)
    # PaddleDetection's own advice for this model: what comes before res4f_branch2c.
    fourth = {f"backbone.res4.res4{block}.branch2{x}" for block in "abcdef" for x in "ab"}
    names = {group.name.removesuffix(".conv.weight") for group in survey.groups}
    assert {name for name in names if "res4" in name} == fourth
    assert len(names) == 29
    pruned = pruned_model(task, Plan.of(dict.fromkeys([g.name for g in survey.groups], 0.5), FLOAT))
    assert [m.shape for m in pruned(paddle.ones([1, 3, 64, 64]))] == [[1, 1024, 4, 4]]
    last = dict(pruned.named_parameters())["backbone.res4.res4f.branch2c.conv.weight"]
    assert last.shape == [1024, 128, 1, 1]


def test_a_pruned_trunk_is_exported_and_its_maps_make_boxes(options, tmp_path):
    task = make_task(**options(PYRAMID))
    plan = Plan.of({"backbone.res4.res4b.branch2a.conv.weight": 0.5}, FLOAT)
    trunk = pruned_model(task, plan)
    trunk.eval()
    export_float(trunk, task.inputs, tmp_path / "exported")
    engine = PaddleEngine(tmp_path / "exported", "float", 1)
    (images,) = next(task.eval_batches("val", 4)).inputs
    maps = engine.run([images])
    assert output_difference(maps, eager(trunk)([images])) < 1e-3
    assert len(task.detections(maps, [(64, 64)] * 4)) == 4


def test_masks_are_learned_from_polygons(options):
    task = make_task(**options(PYRAMID, "MaskRCNN"))
    assert task.metric.name == "mask_average_precision"
    samples = {s.where: s for s in task._samples["train"]}
    batch = next(task.train_batches(4, 0))
    polygons = batch.targets[POLYGONS]
    assert [len(of) for of in polygons] == [len(of) for of in batch.targets["gt_bbox"]]
    assert all(len(s.boxes[0].polygons[0]) == 8 for s in samples.values())
    for of, corners in zip(polygons, batch.targets["gt_bbox"], strict=True):
        for (outline,), (left, top, right, bottom) in zip(of, corners, strict=True):
            # Mirrored or not, each lies in its own box.
            assert (min(outline[0::2]), max(outline[0::2])) == pytest.approx((left, right))
            assert (min(outline[1::2]), max(outline[1::2])) == pytest.approx((top, bottom))
    # Other outlines, the same boxes: another loss.
    trunk = task.build_model()
    maps = trunk(paddle.to_tensor(batch.inputs[0]))
    before = float(task.loss(maps, batch.targets))
    flat = [[((0.0, 0.0) * 4,) for _ in of] for of in polygons]
    assert float(task.loss(maps, {**batch.targets, POLYGONS: flat})) != pytest.approx(before)


def test_mask_rcnn_needs_polygons(options):
    made = options(PYRAMID, "MaskRCNN")
    file = Path(made["config_file"]).parent / "val.json"
    content = json.loads(file.read_text())
    content["annotations"][2]["segmentation"] = {"size": [96, 96], "counts": "aab"}
    file.write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"annotations\[2\]: `segmentation` is not a list of poly"):
        make_task(**made)


def test_mask_rcnn_is_not_for_data_without_masks(options):
    made = options(PYRAMID, "MaskRCNN")
    file = Path(made["config_file"])
    of_voc = "!VOCDataSet {label_list: labels.txt, "
    file.write_text(file.read_text().replace("!COCODataSet {", of_voc))
    with pytest.raises(TaskError, match="TrainDataset is VOCDataSet; COCODataSet can be read for"):
        make_task(**made)


def test_the_task_meets_every_demand_except_a_trained_metric(options):
    made = options(PYRAMID, "MaskRCNN")
    unmet = [demand for demand in check_task("paddledetection", made) if not demand.met]
    assert [demand.name for demand in unmet] in ([], ["metric"])
