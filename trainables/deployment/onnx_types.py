"""An INT8 ONNX file rewritten with the types that ONNX Runtime has kernels for.

paddle2onnx writes activations with a sign, as Paddle has them, and weights in float behind a
quantize step. ONNX Runtime fuses neither the ReLU behind such a convolution nor, for that, the
convolution itself: of the built-in network's 15 it ran 8 in float.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from trainables.deployment.program import IntegerProduct

# Zero points of values without a sign, and of those that had one: 128 higher, as their integers.
UNSIGNED, MIDDLE = "uint8_zero", "uint8_middle"
# Largest integer of an activation with a sign, and of one without.
SIGNED_MAX, UNSIGNED_MAX = 127, 255


def integers_of(weight: str) -> str:
    """Return the name that a weight's integers have in the rewritten file."""
    return f"{weight}.integers"


class _Graph:
    """The nodes of a graph by what they write and read; removed ones are dropped at the end."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.nodes = list(graph.node)
        self.values = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self.values[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        self.writer = {name: node for node in self.nodes for name in node.output}
        self.outputs = {item.name for item in graph.output}
        self._readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                self._readers[name].append(node)
        self._removed: set[int] = set()

    def store(self, name: str, array: np.ndarray) -> str:
        """Add a constant; return its name."""
        self.values[name] = array
        self.graph.initializer.append(numpy_helper.from_array(np.array(array), name))
        return name

    def remove(self, *nodes: onnx.NodeProto) -> None:
        self._removed |= {id(node) for node in nodes}

    def left(self, kind: str) -> list[onnx.NodeProto]:
        """Return the nodes of a type that are not removed."""
        return [n for n in self.nodes if n.op_type == kind and id(n) not in self._removed]

    def readers(self, name: str) -> list[onnx.NodeProto]:
        return [node for node in self._readers[name] if id(node) not in self._removed]

    def add(self, kind: str, inputs: list[str], output: str, **attributes: int) -> None:
        """Add a node that writes one value."""
        node = onnx.helper.make_node(kind, inputs, [output], **attributes)
        self.nodes.append(node)
        self.writer[output] = node
        for name in inputs:
            self._readers[name].append(node)

    def read_instead(self, node: onnx.NodeProto, place: int, name: str) -> None:
        """Make a node read another value at one of its inputs."""
        self._readers[node.input[place]].remove(node)
        self._readers[name].append(node)
        node.input[place] = name

    def finish(self) -> None:
        nodes = [node for node in self.nodes if id(node) not in self._removed]
        read = {name for node in nodes for name in node.input} | self.outputs
        nodes = _in_order([node for node in nodes if read & {*node.output}])
        stored = [item for item in self.graph.initializer if item.name in read]
        del self.graph.node[:], self.graph.initializer[:]
        self.graph.node.extend(nodes)
        self.graph.initializer.extend(stored)


def _in_order(nodes: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Return the nodes so that each is behind those that it reads from."""
    waiting, ordered = {name for node in nodes for name in node.output}, []
    while nodes:
        left = []
        for node in nodes:
            if waiting & {*node.input}:
                left.append(node)
            else:
                ordered.append(node)
                waiting -= {*node.output}
        nodes = left
    return ordered


def _store_weights(graph: _Graph) -> None:
    """Store quantized constants as integers, without the steps that quantize them."""
    for step in graph.left("QuantizeLinear"):
        name, scale, zero = step.input
        if name not in graph.values:
            continue
        floats, by, zeros = (graph.values[n] for n in (name, scale, zero))
        axis = next((a.i for a in step.attribute if a.name == "axis"), 1)
        shape = [-1 if place == axis and by.ndim else 1 for place in range(floats.ndim)]
        limits = np.iinfo(zeros.dtype)
        rounded = np.rint(floats / by.reshape(shape)) + zeros.reshape(shape).astype("int64")
        integers = np.clip(rounded, limits.min, limits.max).astype(zeros.dtype)
        graph.remove(step)
        graph.store(integers_of(name), integers)
        for back in graph.readers(step.output[0]):
            graph.read_instead(back, 0, integers_of(name))


def _keep_floats(graph: _Graph, weights: Collection[str]) -> None:
    """Let the layers with these weights compute in float: paddle2onnx quantizes every layer whose
    input and output have scales, whether or not its weight was quantized."""
    for node in graph.left("Conv"):
        before = [_unquantized(graph, name) for name in node.input]
        if before[1] not in weights or before[1] == node.input[1]:
            continue
        graph.read_instead(node, 0, before[0])
        graph.read_instead(node, 1, before[1])
        bias = graph.writer.get(node.input[2]) if len(node.input) > 2 else None
        if bias is not None and bias.op_type == "DequantizeLinear":
            integers, scale = (graph.values[name] for name in bias.input[:2])
            floats = (integers * scale).astype("float32")
            graph.read_instead(node, 2, graph.store(f"{node.input[1]}.bias", floats))


def _unquantized(graph: _Graph, name: str) -> str:
    """Return the name of the float value behind a quantize and a dequantize step, if there are."""
    back = graph.writer.get(name)
    if back is None or back.op_type != "DequantizeLinear":
        return name
    first = graph.writer.get(back.input[0])
    return first.input[0] if first is not None and first.op_type == "QuantizeLinear" else name


def _upper_bound(graph: _Graph, node: onnx.NodeProto) -> float | None:
    """Return the largest output of a ReLU or a clip at 0, infinite for a ReLU; else None."""
    if node.op_type == "Relu":
        return float("inf")
    low, high = (graph.values.get(name) for name in (*node.input[1:], "", "")[:2])
    return float(high) if low is not None and high is not None and low == 0 else None


def _alone_before(
    graph: _Graph, name: str
) -> tuple[onnx.NodeProto, onnx.NodeProto] | tuple[None, None]:
    """Return the pair of steps that quantizes a value and makes it float again, if nothing else
    reads from either."""
    back = graph.writer.get(name)
    if back is None or back.op_type != "DequantizeLinear" or len(graph.readers(name)) > 1:
        return None, None
    first = graph.writer.get(back.input[0])
    alone = first is not None and len(graph.readers(back.input[0])) == 1
    return (first, back) if first is not None and alone else (None, None)


def _absorb_rectifiers(graph: _Graph) -> set[str]:
    """Remove ReLUs and clips at 0 where the values are quantized, as values without a sign begin at
    0; return the quantized values that have none."""
    unsigned: set[str] = set()
    for node in (*graph.left("Relu"), *graph.left("Clip")):
        (out,), source, bound = node.output, node.input[0], _upper_bound(graph, node)
        readers = graph.readers(out)
        first, back = _alone_before(graph, source)
        if out in graph.outputs or bound is None:
            continue
        if readers and all(_is_step(graph, reader) for reader in readers):
            if first is not None and back is not None:
                source = first.input[0]
                graph.remove(first, back)
            for step in readers:
                graph.read_instead(step, 0, source)
                unsigned.add(step.output[0])
                if np.isfinite(bound):
                    _rescale(graph, step, bound)
        elif first is not None and np.isinf(bound):
            unsigned.add(first.output[0])
            for reader in readers:
                graph.read_instead(reader, [*reader.input].index(out), source)
        else:
            continue
        graph.remove(node)
    return unsigned


def _rescale(graph: _Graph, step: onnx.NodeProto, bound: float) -> None:
    """Let the largest integer of a quantize step be the largest value that a clip lets through."""
    old = graph.values[step.input[1]]
    new = (np.minimum(old * SIGNED_MAX, bound) / UNSIGNED_MAX).astype("float32")
    name = graph.store(f"{step.output[0]}.scale", new)
    graph.read_instead(step, 1, name)
    for back in graph.readers(step.output[0]):
        graph.read_instead(back, 1, name)
        for layer in graph.readers(back.output[0]):
            if layer.op_type == "Conv" and len(layer.input) == 3:
                _rescale_bias(graph, layer.input[2], float(new / old))


def _rescale_bias(graph: _Graph, name: str, factor: float) -> None:
    """Keep an integer bias's values: its scale is that of the inputs times that of the weights."""
    back = graph.writer.get(name)
    if back is None or back.op_type != "DequantizeLinear" or back.input[0] not in graph.values:
        return
    integers, scale = (graph.values[n] for n in back.input[:2])
    rounded = np.rint(integers / factor).astype(integers.dtype)
    graph.read_instead(back, 0, graph.store(f"{name}.integers", rounded))
    graph.read_instead(back, 1, graph.store(f"{name}.scale", (scale * factor).astype("float32")))


def _drop_signs(graph: _Graph, unsigned: set[str]) -> None:
    """Give every activation a type without a sign: on x86 that is what the kernels multiply with
    weights, and the operands of a sum must have the same type."""
    for step in graph.left("QuantizeLinear"):
        (out,) = step.output
        backs = graph.readers(out)
        signed = graph.values[step.input[2]].dtype == np.int8
        if signed and out not in graph.outputs and all(_is_back(node) for node in backs):
            zero = UNSIGNED if out in unsigned else MIDDLE
            for node in (step, *backs):
                graph.read_instead(node, 2, zero)


def _is_step(graph: _Graph, node: onnx.NodeProto) -> bool:
    return node.op_type == "QuantizeLinear" and node.input[1] in graph.values


def _is_back(node: onnx.NodeProto) -> bool:
    return bool(node.op_type == "DequantizeLinear")


def _quantize_products(graph: _Graph, products: Mapping[str, IntegerProduct]) -> None:
    """Make matrix products integer ones, which paddle2onnx leaves in float.

    As operators of integers, not as floats between steps: where a sum follows, ONNX Runtime makes
    one operator of both first, and would make the weight float again in every run.
    """
    for node in graph.left("MatMul"):
        name, product = node.input[1], products.get(node.input[1])
        known = graph.values.get(name)
        if product is None or known is None or known.shape != product.weight.shape:
            continue
        scale = graph.store(f"{name}.input_scale", np.array(product.input_scale, "float32"))
        both = (product.input_scale * product.weight_scale).astype("float32")
        weight = graph.store(integers_of(name), product.weight.astype("int8"))
        given, summed, floats = (f"{name}.{part}" for part in ("input", "sums", "floats"))
        graph.remove(node)
        graph.add("QuantizeLinear", [node.input[0], scale, MIDDLE], given)
        graph.add("MatMulInteger", [given, weight, MIDDLE], summed)
        graph.add("Cast", [summed], floats, to=onnx.TensorProto.FLOAT)
        graph.add("Mul", [floats, graph.store(f"{name}.scale", both)], node.output[0])


def rewrite_types(
    file: Path, products: Mapping[str, IntegerProduct], floats: Collection[str] = ()
) -> None:
    """Rewrite an INT8 file of paddle2onnx in place; `products` are those of the Paddle model, and
    `floats` the weights of its layers that are not quantized.

    All scales stay, but for values behind a clip: they get a finer one.
    """
    model = onnx.load(str(file))
    graph = _Graph(model.graph)
    graph.store(UNSIGNED, np.array(0, "uint8"))
    graph.store(MIDDLE, np.array(128, "uint8"))
    _keep_floats(graph, floats)
    _store_weights(graph)
    _quantize_products(graph, products)
    _drop_signs(graph, _absorb_rectifiers(graph))
    graph.finish()
    onnx.checker.check_model(model)
    onnx.save(model, str(file))
