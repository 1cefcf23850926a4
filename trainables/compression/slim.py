"""The one place that knows PaddleSlim: its traps are met here and nowhere else.

Names cross this boundary as structured names of parameters. PaddleSlim's own
("conv2d_3.w_0") count up through the process, so the same model built twice has others.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import paddle.base.dygraph.base

# PaddleSlim 2.6 still calls this by the name it had before Paddle 3.
if not hasattr(paddle.base.dygraph.base, "_to_static_mode_guard_"):
    paddle.base.dygraph.base._to_static_mode_guard_ = paddle.base.dygraph.base.to_static_mode_guard

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import paddleslim.dygraph
    import paddleslim.quant
    from paddleslim.dygraph.quant import QAT

from trainables.compression.modes import quietly
from trainables.engine import MODEL_FILE, WEIGHTS_FILE
from trainables.export import input_spec, path_prefix
from trainables.task import ModelInput

OUTPUT_CHANNELS = 0


class ChannelPruner:
    """Removes whole output channels, those with the smallest L1 norm (Li et al., ICLR 2017)."""

    def __init__(self, model: paddle.nn.Layer, inputs: Sequence[ModelInput]) -> None:
        """Trace the model. Raises whatever the trace raises, in dynamic mode again."""
        self.model = model
        model.eval()
        shapes: list[Any] = [[1, *spec.shape] for spec in inputs]
        with quietly():
            self._pruner = paddleslim.dygraph.L1NormFilterPruner(
                model, shapes if len(shapes) > 1 else shapes[0], input_dtype=inputs[0].dtype
            )
        # Only now: building a pruner starts the count of parameter names again.
        self._structured = {p.name: name for name, p in model.named_parameters()}
        self._names = {name: slim for slim, name in self._structured.items()}
        self._plan: Any = None

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Return the members of every group found, by the name of its master parameter."""
        found = {}
        for collection in self._pruner.collections:
            master = self._structured.get(collection.master_name)
            members = [self._structured.get(name) for name in collection.variables()]
            if master is not None:
                found[master] = tuple(name for name in members if name is not None)
        return found

    def producers(self, group: str) -> tuple[str, ...]:
        """Return the members that lose output channels; the others only lose inputs."""
        collection = self._pruner.collections.find_collection_by_master(
            self._names[group], OUTPUT_CHANNELS
        )
        found = []
        for detail in collection.all_pruning_details():
            name = self._structured.get(detail.name)
            # A linear layer's weight is (inputs, outputs), all others have outputs first.
            output_axis = 1 if len(detail.var.shape()) == 2 else 0
            if name is not None and detail.axis == output_axis:
                found.append(name)
        return tuple(found)

    def prune(self, ratios: Mapping[str, float]) -> None:
        """Remove each group's share of channels from the model in place."""
        with quietly():
            self._plan = self._pruner.prune_vars(
                {self._names[group]: ratio for group, ratio in ratios.items()},
                axis=OUTPUT_CHANNELS,
            )

    def masked(self, ratios: Mapping[str, float]) -> dict[str, np.ndarray]:
        """Return the weights that a prune would change, whole, with 0 for what it would remove.

        A model with them computes what the pruned model does: nothing arrives from a channel
        whose consumers have 0 for it. The model itself stays as it is.
        """
        with quietly():
            plan = self._pruner.prune_vars(
                {self._names[group]: ratio for group, ratio in ratios.items()},
                axis=OUTPUT_CHANNELS,
                apply=None,
            )
        parameters = dict(self.model.named_parameters())
        found: dict[str, np.ndarray] = {}
        for slim_name, masks in plan.masks.items():
            name = self._structured.get(slim_name)
            # The plan masks what layers hand on as well.
            if name is None:
                continue
            found[name] = parameters[name].numpy()
            for mask in masks:
                kept = np.asarray(mask.mask, dtype=found[name].dtype)
                along = [1] * found[name].ndim
                along[mask.dims] = len(kept)
                found[name] = found[name] * kept.reshape(along)
        return found

    def width(self, group: str) -> int:
        """Return how many channels a group has now."""
        return int(dict(self.model.named_parameters())[group].shape[OUTPUT_CHANNELS])

    def restore(self) -> None:
        """Undo the last `prune`."""
        if self._plan is not None:
            self._plan.restore(self.model)
            self._plan = None


def drop_backups(model: paddle.nn.Layer) -> None:
    """Forget the arrays from before a prune, which PaddleSlim keeps as buffers."""
    for layer in model.sublayers(include_self=True):
        for name in [n for n in layer._buffers if n.endswith("_backup")]:
            del layer._buffers[name]


def quantize_post_training(
    source: Path, target: Path, feeds: Callable[[], Iterator[Mapping[str, np.ndarray]]]
) -> None:
    """Write an INT8 model calibrated on `feeds`, each a batch by input name."""
    batches = sum(1 for _ in feeds())
    target.mkdir(parents=True, exist_ok=True)
    # A scope of its own: the global one would keep, and mix, every model's weights.
    with paddle.static.scope_guard(paddle.static.Scope()), quietly():
        paddle.enable_static()
        paddleslim.quant.quant_post_static(
            executor=paddle.static.Executor(paddle.CPUPlace()),
            model_dir=str(source),
            quantize_model_path=str(target),
            data_loader=feeds,
            model_filename=MODEL_FILE,
            params_filename=WEIGHTS_FILE,
            save_model_filename=MODEL_FILE,
            save_params_filename=WEIGHTS_FILE,
            batch_nums=batches,
            # The range is the largest value seen: clipping to an average of the batches'
            # largest, PaddleSlim's example, loses 1.2 to 1.9 points more (LOG.md).
            algo="abs_max",
            # Otherwise the file stays as large as in float.
            onnx_format=True,
        )


class QuantizationAware:
    """A model with fake quantization in place, to be trained and then exported in INT8."""

    def __init__(self, model: paddle.nn.Layer, *, pact: bool) -> None:
        self.model = model
        with quietly():
            self._qat = QAT({"activation_preprocess_type": "PACT" if pact else None})
            self._qat.quantize(model)

    def export(self, inputs: Sequence[ModelInput], folder: Path) -> None:
        """Write the INT8 model, its scales those that training found."""
        self.model.eval()
        with quietly():
            self._qat.save_quantized_model(self.model, path_prefix(folder), input_spec(inputs))
