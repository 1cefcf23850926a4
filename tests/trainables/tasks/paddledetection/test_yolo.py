"""YOLOv3's and PP-YOLO's boxes and losses beside the toolkit's whole model."""

import numpy as np
import paddle
import pytest

from tests.trainables.tasks.toolkits import detection_data
from trainables.tasks.paddledetection.task import make_task

PP_YOLO = """
YOLOv3: {neck: PPYOLOFPN}
PPYOLOFPN: {coord_conv: true, spp: true, drop_block: true}
YOLOv3Head: {iou_aware: true, iou_aware_factor: 0.5}
YOLOv3Loss: {scale_x_y: 1.05, iou_loss: IouLoss, iou_aware_loss: IouAwareLoss}
IouLoss: {loss_weight: 2.5, loss_square: true}
IouAwareLoss: {loss_weight: 1.0}
TrainReader: {batch_transforms: [{Gt2YoloTarget: {iou_thresh: 0.25}}]}
"""
POST = """
BBoxPostProcess:
  decode: {{name: YOLOBox, conf_thresh: {sure}, scale_x_y: 1.05}}
  nms: {{keep_top_k: 40, {nms}}}
"""
MATRIX = (
    "name: MatrixNMS, score_threshold: 0.25, post_threshold: 0.2, nms_top_k: -1, "
    "background_label: %d, use_gaussian: %s"
)
MULTI = "name: MultiClassNMS, score_threshold: 0.2, nms_threshold: 0.3, nms_top_k: 30"


@pytest.fixture
def pp_yolo(tmp_path):
    pytest.importorskip("ppdet.modeling")
    config = detection_data(tmp_path)
    # Nothing of it is merged with another kind's settings.
    before, after = config.read_text().split("BBoxPostProcess:\n")
    config.write_text(before + after[after.index("TrainDataset") :])
    child = tmp_path / "child.yml"

    def write(text):
        child.write_text(f"_BASE_: [{config.name}]\n{text}")
        return make_task(str(child), "w", 64)

    return write


@pytest.mark.parametrize(
    ("head", "sure", "nms"),
    [
        ("", 0.3, MULTI),
        ("", 0.5, MATRIX % (-1, "false")),
        (PP_YOLO, 0.01, MULTI),
        (PP_YOLO, 0.4, MATRIX % (-1, "true")),
        (PP_YOLO, 0.4, MATRIX % (0, "false")),
    ],
)
def test_boxes_are_the_whole_models_own(pp_yolo, head, sure, nms):
    task = pp_yolo(head + POST.format(sure=sure, nms=nms))
    post_process = task.create("BBoxPostProcess")
    anchors = 3
    paddle.seed(0)
    channels = anchors * (7 + bool(head))
    maps = [paddle.randn([3, channels, side, side]) * 1.5 for side in (2, 4, 8)]
    head = task._head
    head.eval()
    head.yolo_outputs = [paddle.nn.Identity() for _ in maps]
    sizes = paddle.full([3, 2], 64.0)
    found, counts, *_ = post_process(head(maps), head.mask_anchors, sizes, paddle.ones_like(sizes))
    ends = np.cumsum(counts.numpy())
    ours = task.detections([m.numpy() for m in maps], [(64, 64)] * 3)
    assert [len(of) for of in ours] == counts.numpy().tolist() and min(map(len, ours)) > 5
    for image, end in enumerate(ends):
        rows = found.numpy()[end - counts[image] : end]
        expected = rows[np.lexsort((rows[:, 2], -rows[:, 1].round(4)))]
        got = [[b.label, b.score, b.left, b.top, b.right, b.bottom] for b in ours[image]]
        got = np.array(got)[np.lexsort((np.array(got)[:, 2], -np.array(got)[:, 1].round(4)))]
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=2e-3)
    if " 0" in nms.split("background_label:")[-1][:3]:
        assert {b.label for of in ours for b in of} == {1}


def test_the_loss_is_the_whole_models_own(pp_yolo):
    task = pp_yolo(PP_YOLO)
    paddle.seed(0)
    detector = task.detector()
    network = task.build_untrained()
    network.set_state_dict(detector.state_dict())
    batch = next(task.train_batches(4, 0))
    assert task._anchor_overlap == 0.25
    inputs = {name: paddle.to_tensor(array) for name, array in batch.targets.items()}
    inputs["image"] = paddle.to_tensor(batch.inputs[0])
    for model in (detector, network):
        model.train()
        for layer in model.sublayers():
            # What is dropped is drawn by chance.
            layer.training = layer.training and "DropBlock" not in type(layer).__name__
    expected = float(detector(inputs)["loss"])
    assert float(task.loss(network(inputs["image"]), batch.targets)) == pytest.approx(
        expected, 1e-5
    )
