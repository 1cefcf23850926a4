import paddle

from tests.trainables.compression.networks import IMAGE, Between, Chain, Normalized
from trainables.compression.graph.tracing import SAMPLES, trace


def test_operators_are_in_order_with_their_weights_and_shapes():
    model = Chain()
    model.eval()
    traced = trace(model, IMAGE)
    convolutions = [op for op in traced.operators if op.type == "conv2d"]
    weights = [traced.weights[op.inputs["Filter"][0]] for op in convolutions]
    assert weights == ["first.weight", "last.weight"]
    assert traced.shapes[convolutions[0].outputs["Output"][0]] == (SAMPLES, 8, 16, 16)
    assert [traced.shapes[name] for name in traced.outputs] == [(SAMPLES, 4)]
    assert traced.nested == frozenset()


def test_buffers_are_weights_too():
    model = Normalized()
    model.eval()
    assert {"norm._mean", "norm._variance"} <= set(trace(model, IMAGE).weights.values())


def test_tensors_inside_control_flow_are_nested():
    def between(x):
        return paddle.static.nn.cond(paddle.full([1], True, "bool"), lambda: x * 2, lambda: x)

    model = Between(between)
    model.eval()
    assert trace(model, IMAGE).nested
