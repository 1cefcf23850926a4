from tests.tiny.mine import Mine
from trainables.cache import JsonCache
from trainables.compression.pruner import ChannelPruner
from trainables.compression.sensitivity import cached_group_sensitivity, group_sensitivity
from trainables.evaluation import eager, evaluate


def baseline_metric(task):
    return task.metric.aggregate(evaluate(eager(task.build_model()), task, "val", 100))


def test_a_nearly_whole_group_loses_less_than_a_nearly_empty_one(tiny_weights):
    task = Mine(tiny_weights)
    rows = group_sensitivity(task, "conv2.weight", [0.0625, 0.9375], baseline_metric(task), 100, 1)
    assert [row.ratio for row in rows] == [0.0625, 0.9375]
    assert rows[0].metric_loss < rows[1].metric_loss
    assert rows[1].metric_loss > 0.2


def test_ratios_do_not_depend_on_those_measured_before_them(tiny_weights):
    task = Mine(tiny_weights)
    base = baseline_metric(task)
    alone = group_sensitivity(task, "conv1.weight", [0.25], base, 100, 1)
    after = group_sensitivity(task, "conv1.weight", [0.75, 0.25], base, 100, 1)
    assert alone[0] == after[1]


def test_a_ratio_that_fails_is_missing_and_the_others_are_measured(tiny_weights, monkeypatch):
    task = Mine(tiny_weights)
    base = baseline_metric(task)
    whole = group_sensitivity(task, "conv1.weight", [0.25, 0.75], base, 100, 1)
    masked = ChannelPruner.masked

    def fragile(self, ratios):
        if 0.5 in ratios.values():
            raise RuntimeError("half-way")
        return masked(self, ratios)

    monkeypatch.setattr(ChannelPruner, "masked", fragile)
    rows = group_sensitivity(task, "conv1.weight", [0.25, 0.5, 0.75], base, 100, 1)
    assert rows[1].metric is rows[1].metric_loss is None
    assert [rows[0], rows[2]] == whole


def test_known_curve_is_not_computed_again(tiny_weights, tmp_path):
    cache, task = JsonCache(tmp_path), Mine(tiny_weights)
    arguments = ("conv1.weight", [0.5], baseline_metric(task), 100, 1)
    first, cached = cached_group_sensitivity(cache, "weights", lambda: task, *arguments)
    assert not cached

    def never():
        raise AssertionError("the task was loaded")

    assert cached_group_sensitivity(cache, "weights", never, *arguments) == (first, True)


def test_other_weights_are_another_question(tiny_weights, tmp_path):
    cache, task = JsonCache(tmp_path), Mine(tiny_weights)
    arguments = ("conv1.weight", [0.5], baseline_metric(task), 100, 1)
    cached_group_sensitivity(cache, "weights", lambda: task, *arguments)
    _, cached = cached_group_sensitivity(cache, "other weights", lambda: task, *arguments)
    assert not cached
