import numpy as np
import pytest

from trainables.data.characters import Characters
from trainables.metrics.text_lines import LineMetric, edit_distance

CHARACTERS = Characters(tuple("abcAB1 -"))


def outputs_of(*texts, columns=12):
    """Return chances that read as these texts, with a blank after every character."""
    chances = np.zeros((len(texts), columns, CHARACTERS.count), np.float32)
    chances[:, :, 0] = 0.5
    for row, text in zip(chances, texts, strict=True):
        for place, one in enumerate(CHARACTERS.classes(text)):
            row[2 * place, one] = 0.9
    return [chances]


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [("", "", 0), ("", "ab", 2), ("kitten", "sitting", 3), ("ab", "ba", 2), ("abc", "abc", 0)],
)
def test_the_edit_distance(one, other, distance):
    assert edit_distance(one, other) == edit_distance(other, one) == distance


def test_whole_lines_count_and_similarity_is_beside_them():
    metric = LineMetric(CHARACTERS)
    statistics = metric.sample_statistics(outputs_of("abc", "ab", ""), ["abc", "abca", "a"])
    assert statistics.tolist() == [[1, 1], [0, 0.5], [0, 0]]
    assert metric.aggregate(statistics) == pytest.approx(1 / 3)
    assert LineMetric(CHARACTERS, "norm_edit_dis").aggregate(statistics) == pytest.approx(0.5)


@pytest.mark.parametrize("shape", [(2, -1), (2, -1, 1)])
def test_the_class_of_each_column_reads_as_its_scores_do(shape):
    (chances,), metric = outputs_of("abc", "ab"), LineMetric(CHARACTERS)
    classes = chances.argmax(2).astype("int32").reshape(shape)
    found, wanted = (metric.sample_statistics([o], ["abc", "b"]) for o in (classes, chances))
    assert found.tolist() == wanted.tolist() == [[1, 1], [0, 0.5]]


@pytest.mark.parametrize(
    ("options", "right"),
    [
        ({}, [1, 0, 0]),
        ({"ignores_space": False}, [0, 0, 0]),
        ({"is_filtered": True}, [1, 1, 1]),
    ],
)
def test_texts_are_compared_as_recmetric_does(options, right):
    metric = LineMetric(CHARACTERS, **options)
    found = metric.sample_statistics(outputs_of("a b", "AB", "a-1"), ["ab", "ab", "a1"])
    assert found[:, 0].tolist() == right
