import numpy as np
import paddle
import pytest

from trainables.tasks.paddleseg.losses import MaskTargets, total_loss

losses = pytest.importorskip("paddleseg.models.losses")
CLASSES, SIDE = 19, 32


def scores(*shape):
    values = np.random.default_rng(len(shape)).standard_normal((2, *shape))
    return paddle.to_tensor(values.astype("float32"), stop_gradient=False)


@pytest.fixture(scope="module")
def labels():
    """Squares of four classes, with an ignored strip."""
    squares = np.random.default_rng(0).integers(0, 4, (2, 4, 4))
    labels = squares.repeat(SIDE // 4, 1).repeat(SIDE // 4, 2)
    labels[:, :3] = 255
    return labels


def summed(loss, outputs, labels):
    edges = np.random.default_rng(0).integers(0, 2, (2, 1, SIDE, SIDE))
    targets = MaskTargets(labels, edges)
    return total_loss([outputs], targets, {"types": [loss], "coef": [1]})


def maps(classes=CLASSES):
    return scores(classes, SIDE, SIDE)


def test_every_loss_that_configurations_name_is_finite_and_has_gradients(labels):
    cross = losses.CrossEntropyLoss
    binary = np.where(labels == 255, 255, labels.clip(0, 1))
    points = paddle.rand([2, 50, 2])
    cases = [
        (cross(), maps(), labels),
        (cross(weight=[1.5] * CLASSES), maps(), labels),
        (cross(top_k_percent_pixels=0.2), maps(), labels),
        (losses.OhemCrossEntropyLoss(min_kept=1000), maps(), labels),
        (losses.BootstrappedCrossEntropyLoss(min_K=100, loss_th=0.1), maps(), labels),
        (losses.DiceLoss(), maps(), labels),
        (losses.FocalLoss(), maps(2), binary),
        (losses.LovaszSoftmaxLoss(), maps(), labels),
        (losses.LovaszHingeLoss(), maps(2), binary),
        (
            losses.MixedLoss([cross(), losses.SemanticConnectivityLoss()], [0.8, 0.2]),
            maps(),
            labels,
        ),
        (losses.DetailAggregateLoss(), maps(1), labels),
        (losses.RMILoss(num_classes=CLASSES), maps(), labels),
        (losses.BCELoss(), maps(), labels),
        (losses.BCELoss(weight="dynamic", pos_weight="dynamic"), maps(), labels),
        (losses.BCELoss(weight="dynamic", edge_label=True), maps(1), labels),
        (losses.MSELoss(), maps(1), labels),
        (losses.L1Loss(), maps(1), labels),
        (losses.SECrossEntropyLoss(), scores(CLASSES), labels),
        (losses.RelaxBoundaryLoss(), maps(), labels),
        (losses.EdgeAttentionLoss(), [maps(), maps(1)], labels),
        (losses.OhemEdgeAttentionLoss(min_kept=100), [maps(), maps(1)], labels),
        (losses.DualTaskLoss(), maps(), labels),
        (losses.PixelContrastCrossEntropyLoss(), {"embed": scores(8, SIDE, SIDE)}, labels),
        (losses.PointCrossEntropyLoss(), [scores(CLASSES, 50), points], labels),
    ]
    for loss, outputs, wanted in cases:
        name = type(loss).__name__
        first = outputs
        if isinstance(outputs, dict):
            first = outputs["embed"]
            # Rows of four classes, so that each has pixels that are right and pixels that are not.
            outputs = {
                **outputs,
                "seg": paddle.tile(paddle.eye(4)[None, :, :, None], [2, 1, 8, 32]),
            }
        elif isinstance(outputs, list):
            first = outputs[0]
        value = summed(loss, outputs, wanted)
        value.backward()
        assert np.isfinite(float(value)), name
        assert first.grad is not None and float(first.grad.abs().sum()) > 0, name


def test_two_heads_of_which_one_learns_from_the_other(labels):
    first, second = maps(), maps()
    known = {"types": [losses.KLLoss(), losses.CrossEntropyLoss()], "coef": [2, 1]}
    total_loss([first, second], paddle.to_tensor(labels), known).backward()
    assert float(first.grad.abs().sum()) > 0 and float(second.grad.abs().sum()) > 0


def test_cross_entropy_is_the_mean_over_pixels_that_count_by_their_weights(labels):
    weights = np.linspace(0.5, 2, CLASSES).astype("float32")
    outputs = maps()
    found = float(summed(losses.CrossEntropyLoss(weight=weights.tolist()), outputs, labels))
    logits = outputs.numpy().transpose(0, 2, 3, 1)[labels != 255]
    counted = labels[labels != 255]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    each = -np.log(probabilities[np.arange(len(counted)), counted]) * weights[counted]
    assert found == pytest.approx(each.sum() / weights[counted].sum(), rel=1e-4)


def test_types_are_mixed_in_losses_alone(labels):
    summed(losses.OhemCrossEntropyLoss(min_kept=10), maps(), labels)
    with pytest.raises(TypeError, match="promotion"):
        paddle.ones([2]) * paddle.ones([2], "int64")
