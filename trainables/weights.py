"""Weights read from and written to files, as arrays by structured name.

Only `.pdparams` files are unpickled, by an unpickler that admits arrays and containers only.
"""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from safetensors.numpy import load_file, save_file

from spaces.errors import WeightsError, one_line
from trainables.remarks import remark
from trainables.weight_names import extra_arrays, prefix_of

if TYPE_CHECKING:
    import paddle

# For tasks; the other functions are for this package.
__all__ = ["load_weights"]

Arrays = dict[str, np.ndarray]

# Names in numpy's pickles of arrays, by numpy 1 and 2, and containers.
_ADMITTED = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy.core.numeric", "_frombuffer"),
    ("numpy._core.numeric", "_frombuffer"),
    ("collections", "OrderedDict"),
    ("builtins", "tuple"),
    ("__builtin__", "tuple"),
    ("_codecs", "encode"),  # bytes in protocol 2
}


class ArrayUnpickler(pickle.Unpickler):
    """An unpickler that admits numpy arrays and plain containers only."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise WeightsError(
                f"the pickle names {module}.{name}; only numpy arrays and plain containers "
                "are read; save the weights as .safetensors instead"
            )
        return super().find_class(module, name)


def _read_pdparams(file: BinaryIO) -> Arrays:
    loaded = ArrayUnpickler(file).load()
    if not isinstance(loaded, dict):
        raise WeightsError(f"a state dict is expected, not {type(loaded).__name__}")
    # Paddle adds a dict of names; some versions wrap a tensor as (name, array).
    plain = {k: v[1] if isinstance(v, tuple) and len(v) == 2 else v for k, v in loaded.items()}
    return {k: v for k, v in plain.items() if isinstance(v, np.ndarray)}


def read_weights(path: Path) -> Arrays:
    """Return the arrays of a .safetensors, .npz or .pdparams file by structured name.

    Raises WeightsError, with the path, for a file that is missing, damaged, of another format, or
    without arrays.
    """
    allowed = ".safetensors, .npz and .pdparams are read"
    if not path.is_file():
        raise WeightsError(f"weights {path}: no such file; {allowed}")
    try:
        if path.suffix == ".safetensors":
            arrays = load_file(path)
        elif path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                arrays = dict(archive)
        elif path.suffix == ".pdparams":
            with path.open("rb") as file:
                arrays = _read_pdparams(file)
        else:
            raise WeightsError(f"{allowed}, not {path.suffix or 'a bare name'}")
    except WeightsError as error:
        raise WeightsError(f"weights {path}: {error}") from error
    except Exception as error:  # Each format's reader raises a dozen types.
        raise WeightsError(
            f"weights {path}: damaged or cut short ({one_line(error)}); copy or save it again"
        ) from error
    if not arrays:
        raise WeightsError(f"weights {path}: holds no arrays; save a state dict")
    return arrays


def write_weights(path: Path, arrays: Arrays) -> None:
    """Write arrays to a .safetensors file, atomically."""
    temporary = path.with_name(f".{path.name}.tmp")
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary)
    temporary.replace(path)


def model_weights(model: paddle.nn.Layer) -> Arrays:
    """Return a copy of all parameters and buffers by structured name."""
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def set_weights(model: paddle.nn.Layer, arrays: Arrays, source: str = "weights") -> None:
    """Set the model's parameters and buffers; each must be in `arrays`, in its shape and dtype.

    `source` names the arrays in errors. Raises WeightsError.
    """
    wanted = model_weights(model)
    for name, value in wanted.items():
        if name not in arrays:
            raise WeightsError(f"{source}: {name} is missing; these are another model's weights")
        if arrays[name].shape != value.shape:
            raise WeightsError(
                f"{source}: {name} has shape {arrays[name].shape}, the model's is {value.shape}; "
                "these are another model's weights"
            )
        if arrays[name].dtype != value.dtype:
            raise WeightsError(
                f"{source}: {name} is {arrays[name].dtype}, the model's is {value.dtype}; "
                "save it in the model's dtype"
            )
    model.set_state_dict({name: arrays[name] for name in wanted})


def load_weights(model: paddle.nn.Layer, path: Path, elsewhere: Sequence[str] = ()) -> None:
    """Load a file's weights into the model, with a remark on arrays that the model does not have.

    If the model is a part of the file's, `elsewhere` has the prefixes of the other parts' names.
    Raises WeightsError if the weights do not fit, or if the file's model has further layers.
    """
    arrays = read_weights(path)
    wanted = list(model_weights(model))
    prefix = prefix_of(arrays, wanted)
    plain = arrays
    if prefix:
        plain = {name: arrays[f"{prefix}{name}"] for name in wanted}
        remark(f"weights {path}: the model's arrays are those that begin with {prefix!r}")
    counts, foreign = extra_arrays(arrays, set(wanted), prefix, elsewhere)
    # If arrays are missing too, `set_weights` names one, which says more.
    if foreign and all(name in plain for name in wanted):
        raise WeightsError(
            f"weights {path}: {len(foreign)} of its {len(arrays)} arrays are not the model's, such "
            f"as {foreign[0]}: build the file's model, or save a file without them"
        )
    set_weights(model, plain, f"weights {path}")
    if counts:
        kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        remark(
            f"weights {path}: {counts.total()} of its {len(arrays)} arrays are not used: {kinds}"
        )


def fingerprint(arrays: Arrays) -> str:
    """Return a hex digest of names, dtypes, shapes and contents."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
