import numpy as np
import pytest

from trainables.metrics import loss_standard_error
from trainables.tasks.exported.fidelity import Fidelity, MapIoU, part_of


def fidelity(outputs, originals, *kinds, classes=3):
    shapes = [original.shape for original in originals]
    parts = [part_of(k, s, 0.5, classes) for k, s in zip(kinds, shapes, strict=True)]
    metric = Fidelity(parts)
    statistics = metric.sample_statistics(outputs, originals)
    assert len(statistics) == len(originals[0])
    return metric.name, metric.aggregate(statistics)


def scores(*classes):
    return np.eye(5, dtype="f4")[list(classes)]


def test_classes_agree_as_scores_and_as_numbers():
    for wrap in (lambda s: s, lambda s: s.argmax(1)):
        one, two = wrap(scores(0, 1, 2, 3)), wrap(scores(0, 1, 2, 4))
        assert fidelity([one], [two], "classes") == ("top1_agreement", 0.75)


def test_lines_agree_without_repeats_and_blanks():
    one = np.stack([scores(0, 1, 1, 0, 2), scores(1, 0, 1, 0, 0)])
    two = np.stack([scores(1, 0, 0, 2, 2), scores(1, 1, 1, 0, 0)])
    assert fidelity([one], [two], "line") == ("line_agreement", 0.5)


def test_iou_of_class_maps_as_scores_and_as_numbers():
    one, two = np.array([[[0, 0], [1, 1]]]), np.array([[[0, 1], [1, 1]]])
    expected = ("mean_iou_with_original", pytest.approx((1 / 2 + 2 / 3) / 2))
    assert fidelity([one], [two], "class_map") == expected
    maps = [np.eye(3, dtype="f4")[array].transpose(0, 3, 1, 2) for array in (one, two)]
    assert fidelity(maps[:1], maps[1:], "class_map") == expected


def test_iou_of_maps_above_a_threshold():
    one, two = np.array([[[[0.9, 0.6, 0.4]]]]), np.array([[[[0.9, 0.2, 0.45]]]])
    assert fidelity([one], [two], "map") == ("iou_with_original", 0.5)
    lower = Fidelity([MapIoU(0.3)])
    assert lower.aggregate(lower.sample_statistics([one], [two])) == pytest.approx(2 / 3)
    assert fidelity([one * 0], [two * 0], "map")[1] == 1


def test_values_have_one_minus_their_relative_error():
    rng = np.random.default_rng(0)
    values = rng.normal(3, 2, (4, 3, 5))
    wrong = values + 0.1 * 2 * rng.choice([-1, 1], values.shape)
    name, found = fidelity([wrong], [values], "values")
    assert name == "one_minus_relative_error"
    assert found == pytest.approx(1 - 0.2 / values.std())


def test_several_outputs_have_their_mean():
    one, two = scores(0, 1), np.array([[[[0.9, 0.6]]], [[[0.1, 0.2]]]])
    name, found = fidelity([one, two], [scores(0, 2), two], "classes", "map")
    assert (name, found) == ("mean_fidelity", 0.75)


def test_the_original_itself_has_1_and_no_sampling_error():
    metric = Fidelity([part_of("classes", (8, 5), 0.5, 5), part_of("values", (8, 2), 0.5, 5)])
    rng = np.random.default_rng(0)
    originals = [rng.normal(size=(8, 5)), rng.normal(size=(8, 2))]
    statistics = metric.sample_statistics(originals, originals)
    assert metric.aggregate(statistics) == 1
    assert loss_standard_error(metric, statistics, statistics) == 0
