"""The weights beside an exported program: their file read without Paddle, and without running it.

The file is the tensors one after the other, in the order of their names: a version, levels of
detail, a version, a description in protobuf and the values.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from spaces.errors import TaskError

# numpy's types by Paddle's number of them (framework.proto). bfloat16 has none.
DTYPES: Mapping[int, str] = {
    0: "bool",
    1: "int16",
    2: "int32",
    3: "int64",
    4: "float16",
    5: "float32",
    6: "float64",
    20: "uint8",
    21: "int8",
}


class _Reader:
    """Reads numbers and bytes; TaskError where the file ends too early."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._data = memoryview(file.read_bytes())
        self._at = 0

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._data)

    def take(self, count: int) -> memoryview:
        if not 0 <= count <= len(self._data) - self._at:
            raise broken(self._file)
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, kind: str) -> int:
        (value,) = struct.unpack(kind, self.take(struct.calcsize(kind)))
        return int(value)


def broken(file: Path) -> TaskError:
    return TaskError(
        f"{file} does not hold the program's weights (truncated, encrypted, or another model's); "
        "copy it again beside its .pdmodel"
    )


def read_weights(file: Path, shapes: Mapping[str, Sequence[int]]) -> dict[str, np.ndarray]:
    """Return the arrays of a weight file, which has exactly those of `shapes`, by name.

    Raises TaskError, in one line, if the file is missing, truncated or another model's.
    """
    from paddle.base.proto import framework_pb2

    if not shapes:
        return {}
    try:
        reader = _Reader(file)
    except OSError as error:
        raise TaskError(
            f"{file} cannot be read ({error.strerror}); copy the weights beside the .pdmodel"
        ) from error
    found = {}
    for name in sorted(shapes):
        reader.number("<I")
        for _ in range(reader.number("<Q")):
            reader.take(reader.number("<Q"))
        reader.number("<I")
        described = framework_pb2.VarType.TensorDesc()
        try:
            described.ParseFromString(bytes(reader.take(reader.number("<i"))))
        except Exception as error:  # protobuf's errors differ by its implementation.
            raise broken(file) from error
        kind = DTYPES.get(described.data_type)
        shape = tuple(described.dims)
        if kind is None or shape != tuple(shapes[name]):
            raise broken(file)
        values = reader.take(int(np.prod(shape, dtype=int)) * np.dtype(kind).itemsize)
        found[name] = np.frombuffer(values, kind).reshape(shape)
    if not reader.is_at_end:
        raise broken(file)
    return found
