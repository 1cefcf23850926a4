"""Layers put back to float, on a model whose losses and latencies are a table."""

import pytest

from search.cli.layer_choice import choose_mixture, mixture_lines
from spaces.errors import TrialError
from spaces.mixing import LayerCost
from spaces.plan import Plan, QuantizationChoice
from trainables.files.codec import decode, encode
from trainables.results import TrialResult

# What each layer loses in INT8.
LOSSES = {"a": 0.01, "b": 0.2, "c": 0.0, "d": 0.05}
TOTAL = sum(LOSSES.values())


class Model:
    """Losses of layers add up; `stuck` ones are quantized whatever the plan says."""

    def __init__(self, stuck=(), breaks_at=None):
        self.stuck, self.breaks_at, self.runs, self.said = stuck, breaks_at, [], []

    def run(self, plan):
        self.runs.append(plan)
        if len(plan.float_layers) == self.breaks_at:
            raise TrialError("the engine cannot run it")
        ran = {n: "float" if n in plan.float_layers else "int8" for n in LOSSES}
        loss = sum(LOSSES[name] for name, precision in ran.items() if precision == "int8")
        return TrialResult("COMPLETE", metric=1 - loss, metric_loss=loss, layers=ran)

    def measure(self, layers):
        return [
            LayerCost(name, None, None, None, "the engine quantizes it all the same")
            if name in self.stuck
            else LayerCost(name, TOTAL - LOSSES[name], LOSSES[name], 1.1)
            for name in layers
        ]

    def mixture(self, budget):
        return choose_mixture(budget, self.run, self.measure, self.said.append)


def mixed(*layers):
    return Plan.of({}, QuantizationChoice.INT8_PTQ, layers)


def test_nothing_is_measured_where_int8_throughout_keeps_the_budget():
    model = Model()
    found = model.mixture(0.3)
    assert (found.plan, found.costs, model.runs) == (mixed(), (), [mixed()])
    assert mixture_lines(found) == []


@pytest.mark.parametrize(
    "budget, layers",
    [(0.25, ["b"]), (0.061, ["b"]), (0.055, ["b", "d"]), (0.001, ["b", "d", "a"])],
)
def test_as_few_layers_as_keep_the_budget_are_in_float(budget, layers):
    found = Model().mixture(budget)
    assert found.plan == mixed(*layers)
    assert found.order == ("b", "d", "a", "c")
    assert dict(found.tried)[len(layers)] <= budget
    assert decode(type(found), encode(type(found), found)) == found


def test_the_model_stays_in_float_where_no_mixture_keeps_the_budget():
    model = Model(stuck=["b"])
    found = model.mixture(0.1)
    assert found.plan == Plan()
    assert max(count for count, _ in found.tried) == 3
    assert any("+20.0 % loss" in line for line in model.said)


def test_a_mixture_that_fails_does_not_keep_the_budget():
    model = Model(breaks_at=1)
    found = model.mixture(0.25)
    assert found.plan == mixed("b", "d")
    assert found.tried[0] == (1, None)
    assert "1 of 4 layers in float: the engine cannot run it" in model.said


def test_the_table_has_what_each_layer_costs_and_brings():
    lines = mixture_lines(Model(stuck=["c"]).mixture(0.055))
    assert [line.split() for line in lines[1:]] == [
        ["b", "+20.0", "%", "2.0e-01", "+10.0", "%", "float"],
        ["d", "+5.0", "%", "5.0e-02", "+10.0", "%", "float"],
        ["a", "+1.0", "%", "1.0e-02", "+10.0", "%", "int8"],
        ["c", "the", "engine", "quantizes", "it", "all", "the", "same"],
    ]
