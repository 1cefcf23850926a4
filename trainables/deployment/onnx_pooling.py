"""Adaptive pooling in ONNX files, whose windows have one size.

paddle2onnx writes adaptive pooling as ordinary pooling. Where the map's side is not a multiple of
the output's, its windows are wrong; where it is smaller, their stride is 0, and ONNX Runtime
divides by it: the process dies (LOG: every model on every engine).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from paddle.base.proto import framework_pb2

from spaces.errors import ExportError
from trainables.deployment.exported import MODEL_FILE, read_sizes

# The second is that of adaptive maxima.
TYPES = ("pool2d", "max_pool2d_with_index")


@dataclass(frozen=True)
class AdaptivePool:
    """An adaptive pooling of an exported program."""

    output: str
    """Name of its output, in the program and in the ONNX file."""
    from_side: tuple[int, int]
    """Height and width of its input; -1 if not known."""
    to_side: tuple[int, int]
    is_average: bool

    @property
    def is_uneven(self) -> bool:
        """Whether its windows are known to differ in size."""
        sides = list(zip(self.from_side, self.to_side, strict=True))
        is_known = all(before > 0 for before, _ in sides)
        return is_known and any(before % after for before, after in sides)


def uneven_pools(folder: Path) -> list[AdaptivePool]:
    """Return the uneven adaptive poolings of an exported program; maps of unknown size are not
    among them. Raises ExportError for one of a model whose sizes are free, unless it pools the
    whole map."""
    program = framework_pb2.ProgramDesc.FromString((folder / MODEL_FILE).read_bytes())
    pools = [*_adaptive_pools(program.blocks[0])]
    if read_sizes(folder) and (parts := [p for p in pools if p.to_side != (1, 1)]):
        raise ExportError(
            f"adaptive pooling to {parts[0].to_side} pixels of maps of several sizes: ONNX has "
            "windows of one size only; give one size, or use another engine"
        )
    return [pool for pool in pools if pool.is_uneven]


def _adaptive_pools(block: framework_pb2.BlockDesc) -> Iterator[AdaptivePool]:
    sizes = {v.name: list(v.type.dense_tensor.tensor.dims) for v in block.vars}
    for op in block.ops:
        given = {attribute.name: attribute for attribute in op.attrs}
        if op.type not in TYPES or not given["adaptive"].b or given["global_pooling"].b:
            continue
        inputs = {slot.parameter: slot.arguments for slot in op.inputs}
        (output,) = (slot.arguments[0] for slot in op.outputs if slot.parameter == "Out")
        height, width = sizes[inputs["X"][0]][2:]
        high, wide = (*given["ksize"].ints, *given["ksize"].ints)[:2]
        is_average = op.type == "pool2d" and given["pooling_type"].s == "avg"
        yield AdaptivePool(output, (height, width), (high, wide), is_average)


def bins(before: int, after: int) -> np.ndarray:
    """Return the matrix that averages `before` values in `after` bins, shape (after, before)."""
    matrix = np.zeros((after, before), np.float32)
    for row in range(after):
        first, end = row * before // after, -(-(row + 1) * before // after)
        matrix[row, first:end] = 1 / (end - first)
    return matrix


def rewrite_pools(file: Path, pools: list[AdaptivePool]) -> None:
    """Write an ONNX file again with these poolings as two matrix products each, which are exact.

    Raises ExportError for a maximum, which no product gives.
    """
    import onnx

    model = onnx.load(str(file))
    nodes = model.graph.node
    for pool in pools:
        if not pool.is_average:
            raise ExportError(
                f"adaptive max pooling from {pool.from_side} to {pool.to_side} pixels: ONNX has "
                "windows of one size only; use an input whose sides give multiples"
            )
        at = next(i for i, node in enumerate(nodes) if pool.output in node.output)
        sides = list(zip(pool.from_side, pool.to_side, strict=True))
        names = [f"{pool.output}.bins_{axis}" for axis in ("h", "w")]
        matrices = bins(*sides[0]), np.ascontiguousarray(bins(*sides[1]).T)
        for name, matrix in zip(names, matrices, strict=True):
            model.graph.initializer.append(onnx.numpy_helper.from_array(matrix, name))
        narrow, source = f"{pool.output}.rows", nodes[at].input[0]
        products = (
            onnx.helper.make_node("MatMul", [names[0], source], [narrow]),
            onnx.helper.make_node("MatMul", [narrow, names[1]], [pool.output]),
        )
        del nodes[at]
        for offset, product in enumerate(products):
            nodes.insert(at + offset, product)
    onnx.save(model, str(file))
