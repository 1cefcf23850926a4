"""What TensorRT is built from, and the engines that it built: kept on the node by content.

Paddle names a built engine by its operators, not by its weights, so engines of different models
must not share a folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import paddle.inference

from spaces.plan import Precision
from trainables.deployment import gpu
from trainables.deployment.exported import MODEL_FILE, WEIGHTS_FILE, model_files, read_sizes
from trainables.deployment.program import read_input_shapes

SHAPES = "shapes.pbtxt"
# What the range of one tensor begins with there, and its ends.
RANGE = "shape_range_info"
ENDS: Mapping[str, Callable[[Sequence[int]], int]] = {"min": min, "max": max}
# Engines that a node keeps, each about as large as its model; those of older trials are of no use.
# A guess.
KEPT = 64


@dataclass(frozen=True)
class Builds:
    """What engines are built for, and where they are kept."""

    folder: Path | None = None
    """None: nowhere."""
    timed: int = 1
    """Samples in a timed run; TensorRT is best at that."""
    largest: int = 1
    """Most samples in a run."""

    @property
    def batches(self) -> tuple[int, int, int]:
        """The least, the largest and the best batch."""
        return (1, max(self.largest, self.timed), self.timed)


class Workshop:
    """The folder in which one engine is built; it is as old as the engine.

    A copy, since an engine that is built again for another batch overwrites its files.
    """

    def __init__(self, model: Path, precision: Precision, builds: Builds) -> None:
        """Copy a built engine of this model, or collect its shapes for a new one."""
        self._builds, self._precision = builds, precision
        self._temporary = tempfile.TemporaryDirectory(prefix="tensorrt-")
        self._folder = Path(self._temporary.name)
        self._kept = builds.folder / digest(model, precision, builds) if builds.folder else None
        self.found = self._kept is not None and self._kept.is_dir()
        if self._kept is not None and self.found:
            shutil.copytree(self._kept, self._folder, dirs_exist_ok=True)
        else:
            (self._folder / SHAPES).write_text(collected_shapes(model, builds))

    def configure(self, config: paddle.inference.Config) -> None:
        """Configure an engine that is built here."""
        gpu.configure_tensorrt(
            config,
            self._precision,
            largest_batch=self._builds.batches[1],
            shapes_file=str(self._folder / SHAPES),
            cache_folder=str(self._folder),
        )

    def keep(self) -> None:
        """Keep the engine that was built, if the disk allows it; it appears whole."""
        if self._kept is None or self.found:
            return
        part = self._kept.with_name(f"{self._kept.name}.{os.getpid()}")
        # Another worker of the node may have kept the same.
        with contextlib.suppress(OSError):
            shutil.copytree(self._folder, part, dirs_exist_ok=True)
            part.rename(self._kept)
        shutil.rmtree(part, ignore_errors=True)
        _forget_oldest(self._kept.parent)


def collected_shapes(model: Path, builds: Builds) -> str:
    """Return the range of every tensor's shape in an exported model, as Paddle writes it: over all
    sizes that are timed, best at the first.

    Sizes are linear in the batch, so batches of 1 and 2 give them: without optimization, which
    shapes are collected with, a large batch does not fit into the memory of a GPU.
    """
    by_size = []
    for shapes in read_sizes(model) or [read_input_shapes(model)]:
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / SHAPES
            _run_both(model, shapes, written)
            blocks = written.read_text().split(RANGE)[1:]
        by_size.append({_name(block): _ranges(block, builds.batches) for block in blocks})
    return "".join(_written(name, [found[name] for found in by_size]) for name in by_size[0])


def _run_both(model: Path, shapes: Sequence[Sequence[int]], written: Path) -> None:
    """Run a model with batches of 1 and 2, and have Paddle write its shapes."""
    config = paddle.inference.Config(str(model / MODEL_FILE), str(model / WEIGHTS_FILE))
    config.disable_gpu()
    config.disable_mkldnn()
    config.disable_glog_info()
    # Only tensors of the program as it was exported are written, not those of fused operators.
    config.switch_ir_optim(False)
    config.collect_shape_range_info(str(written))
    predictor = paddle.inference.create_predictor(config)
    handles = [predictor.get_input_handle(name) for name in predictor.get_input_names()]
    for batch in (1, 2):
        for handle, shape in zip(handles, shapes, strict=True):
            # Ones, since an input may be a size that is divided by.
            handle.copy_from_cpu(np.ones((batch, *shape), handle.type().name.lower()))
        predictor.run()
    # The file is written as the predictor is freed, with the last name for it.


def _name(block: str) -> str:
    (line,) = re.findall(r"^  name: .*$", block, re.MULTILINE)
    return str(line)


def _ranges(block: str, batches: tuple[int, int, int]) -> dict[str, list[int]]:
    """Return the range of one tensor by field, from batches of 1 and 2 to other batches.

    Paddle writes the range of its values, too, if they are sizes themselves.
    """
    found = {}
    for kind in ("shape", "value"):
        one, two = (re.findall(rf"{end}_{kind}: (-?\d+)", block) for end in ENDS)
        for end, batch in zip((*ENDS, "opt"), batches, strict=True):
            both = zip(map(int, one), map(int, two), strict=True)
            found[f"{end}_{kind}"] = [a + (batch - 1) * (b - a) for a, b in both]
    return found


def _written(name: str, by_size: Sequence[dict[str, list[int]]]) -> str:
    """Return the range of one tensor over several sizes."""
    lines = [name]
    for field, first in by_size[0].items():
        widen = ENDS.get(field[:3])
        every = [ranges[field] for ranges in by_size]
        numbers = map(widen, zip(*every, strict=True)) if widen else first
        lines += [f"  {field}: {number}" for number in numbers]
    return "\n".join([f"{RANGE} {{", *lines, "}\n"])


def digest(model: Path, precision: Precision, builds: Builds) -> str:
    """Return a digest of all that a built engine depends on."""
    told = [paddle.__version__, gpu.versions("tensorrt"), precision, builds.batches]
    found = hashlib.sha256(json.dumps(told).encode())
    for name in model_files(model):
        found.update((model / name).read_bytes())
    return found.hexdigest()[:32]


def _forget_oldest(folder: Path) -> None:
    with contextlib.suppress(OSError):
        kept = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in kept[KEPT:]:
            shutil.rmtree(path, ignore_errors=True)
