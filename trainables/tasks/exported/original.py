"""The original on its engine: what it gives is what a model that imitates it learns, and is judged
by."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import paddle
import paddle.inference

from spaces.errors import TaskError, one_line
from trainables.compression.graph.modes import quietly
from trainables.compression.graph.verification import random_samples
from trainables.deployment.engines.paddle_inference import PaddleEngine, without_native_output
from trainables.deployment.export import export_float, output_difference, tolerance
from trainables.distillation import Teacher
from trainables.evaluation import predict
from trainables.task import ModelInput, Shapes, timed_shapes
from trainables.tasks.exported.network import ExportedNetwork, build_network, settle
from trainables.tasks.exported.program import ExportedProgram, find_files
from trainables.tasks.exported.windows import checked_windows

# Largest difference of the rebuilt network's outputs from the export's, relative to their spread.
# They are the same kernels in the same order: most networks' are equal to the bit.
REBUILT = 1e-3


def _unoptimized(program: Path, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return what an export gives, in either format, as it stands."""
    config = paddle.inference.Config(*map(str, find_files(program)))
    config.disable_gpu()
    config.disable_mkldnn()
    config.disable_glog_info()
    config.switch_ir_optim(False)
    with without_native_output():
        predictor = paddle.inference.create_predictor(config)
        outputs = predictor.run(list(map(paddle.to_tensor, arrays)))
    return [output.numpy() for output in outputs]


class Original:
    """An exported model with its two ends: what is delivered, and what training matches."""

    def __init__(
        self,
        program: ExportedProgram,
        inputs: Sequence[ModelInput],
        outputs: Sequence[str],
        matched: Sequence[str],
    ) -> None:
        """Run the model once. Raises TaskError, in one line, if it cannot run at these sizes."""
        self._program, self._inputs = program, tuple(inputs)
        self._outputs, self._matched = tuple(outputs), tuple(matched)
        ends = tuple(dict.fromkeys((*self._outputs, *self._matched)))
        arrays = random_samples(inputs)
        network = self._settled(arrays, ends)
        self._check(network, arrays)
        with tempfile.TemporaryDirectory() as folder:
            export_float(network, inputs, Path(folder))
            engine = PaddleEngine(Path(folder), "float", 1)
        for shapes in timed_shapes(inputs)[1:]:
            self._check_size(network, engine, shapes)
        self._ends = ends
        # What is evaluated is asked for again and again; what is trained on may be new every time.
        self._evaluated, self._trained = Teacher(engine.run), Teacher(engine.run)

    def _settled(self, arrays: Sequence[np.ndarray], ends: Sequence[str]) -> ExportedNetwork:
        """Return the network with the given ends, after its first run."""
        error: Exception | None = None
        # A model that was exported for one image has that number written into its reshapes.
        for samples in (arrays, [array[:1] for array in arrays]):
            try:
                with quietly():
                    self._plans = settle(self._program, samples, outputs=ends)
                    network = self._network(ends, ends)
                    with paddle.no_grad():
                        found = predict(network, [paddle.to_tensor(array) for array in arrays])
            except TaskError:
                raise
            except Exception as failure:  # Each operator raises its own type.
                error = error or failure
                continue
            self.shapes = dict(zip(ends, (output.shape for output in found), strict=True))
            if all(output.ndim and len(output) == len(arrays[0]) for output in found):
                return network
            raise TaskError(
                f"{self._program.file}: an output has no axis of samples; name others with "
                "task_options.outputs"
            )
        assert error is not None
        raise self._cannot_run([i.shape for i in self._inputs], error) from error

    def _cannot_run(self, shapes: Sequence[Sequence[int]], error: Exception) -> TaskError:
        return TaskError(
            f"{self._program.file} cannot run on {self._named(shapes)}; give other sizes with "
            f"task_options.size, as multiples of 32 ({one_line(error, 120)})"
        )

    def _named(self, shapes: Sequence[Sequence[int]]) -> str:
        named = zip(self._inputs, shapes, strict=True)
        return ", ".join(f"{spec.name} {tuple(shape)}" for spec, shape in named)

    def _check_size(self, network: ExportedNetwork, engine: PaddleEngine, shapes: Shapes) -> None:
        """Run the model at a further size. Raises TaskError if it cannot, or if its export, in
        which sizes are free, gives other outputs there."""
        sized = zip(self._inputs, shapes, strict=True)
        arrays = random_samples([replace(spec, shape=s, more_shapes=()) for spec, s in sized])
        try:
            with paddle.no_grad(), checked_windows(network, self._program.file):
                wanted = predict(network, [paddle.to_tensor(array) for array in arrays])
            self._check(network, arrays)
            difference = output_difference(engine.run(arrays), wanted)
        except TaskError:
            raise
        except Exception as error:  # Each operator raises its own type.
            raise self._cannot_run(shapes, error) from error
        if not difference <= max(REBUILT, tolerance("float")):
            raise TaskError(
                f"{self._program.file}: exported for several sizes it gives other outputs on "
                f"{self._named(shapes)}; give one size with task_options.size"
            )

    def _network(self, outputs: Sequence[str], matched: Sequence[str]) -> ExportedNetwork:
        network = build_network(self._program, self._plans, outputs, matched)
        network.eval()
        return network

    def _check(self, network: ExportedNetwork, arrays: Sequence[np.ndarray]) -> None:
        """Compare the rebuilt network with the export. Raises TaskError if they differ."""
        if self._outputs != self._program.outputs:
            return
        arrays = [array[:1] for array in arrays]
        wanted = _unoptimized(self._program.file, arrays)
        if not all(np.isfinite(output).all() for output in wanted):
            raise TaskError(
                f"{self._program.file} gives values that are not finite; export a trained model"
            )
        with paddle.no_grad():
            found = predict(network, [paddle.to_tensor(array) for array in arrays])
        allowed = max(REBUILT, tolerance("float"))
        if not output_difference(found[: len(wanted)], wanted) <= allowed:
            raise TaskError(
                f"{self._program.file}: the network rebuilt from it gives other outputs on "
                f"{self._named([array.shape[1:] for array in arrays])}; search the model in Python"
            )

    def build(self) -> ExportedNetwork:
        """Return a new network with the original's weights."""
        return self._network(self._outputs, self._matched)

    def outputs(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Return what the original gives for samples that are evaluated."""
        return self._chosen(self._evaluated.outputs(inputs), self._outputs)

    def matched(self, inputs: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Return what a model in training has to match."""
        return self._chosen(self._trained.outputs(inputs), self._matched)

    def _chosen(self, found: Sequence[np.ndarray], names: Sequence[str]) -> tuple[np.ndarray, ...]:
        by_name = dict(zip(self._ends, found, strict=True))
        return tuple(by_name[name] for name in names)
