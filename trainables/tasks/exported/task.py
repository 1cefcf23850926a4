"""An exported model alone: no code of its own, and no labels unless they are named.

    --task exported -o "task_options={model: exported, data: photos, size: [480, 480]}"

`model` is a folder with inference.pdmodel and inference.pdiparams. It is rebuilt operator by
operator (network.py), and trained to give what the original gives on `data` (imitation.py). The
metric is its fidelity to the original (fidelity.py), so the unpruned model's is 1; with `labels`
it is that of the labels (labels.py). The training needs none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spaces.errors import TaskError
from trainables.remarks import remark
from trainables.task import Batch, Matching, Metric, ModelInput, Split, TrainingRecipe
from trainables.tasks.exported.dictionary import Dictionary, read_dictionary
from trainables.tasks.exported.fidelity import THRESHOLD, Fidelity, part_of
from trainables.tasks.exported.labels import Labels, Output, read_labels
from trainables.tasks.exported.options import chance, count, flag, names
from trainables.tasks.exported.outputs import Kind, matched_tensors, output_kinds
from trainables.tasks.exported.preprocessing import (
    Prepared,
    image_preparation,
    input_shapes,
    preprocessing,
)
from trainables.tasks.exported.program import ExportedProgram, Fed, find_files, read_program
from trainables.tasks.exported.rewriting import with_inputs_read
from trainables.tasks.exported.samples import (
    CHANNELS,
    TENSORS,
    Inputs,
    check_images_fit,
    epoch,
    read_samples,
)

if TYPE_CHECKING:
    import paddle

    from trainables.tasks.exported.original import Original

# Samples in a training batch by default, of a model with an output at each place and of others.
# Guesses: the toolkits train segmentation and text detection with 4 to 16 on a device.
MAP_BATCH, BATCH = 8, 32
Numbers = Sequence[float] | float
Sizes = int | Sequence[int] | Sequence[Sequence[int]]


class Exported:
    """An exported model and samples, with labels or without."""

    name = "exported"
    protected_layers: tuple[str, ...] = ()
    # The loss itself is learnt from the unpruned model.
    distillation: Matching = "loss"

    def __init__(
        self,
        program: ExportedProgram,
        inputs: Sequence[ModelInput],
        data: Path,
        *,
        outputs: Sequence[str],
        kinds: Sequence[Kind],
        matched: Sequence[str] = (),
        threshold: float = THRESHOLD,
        batch_size: int | None = None,
        augment: bool = True,
        labels: Path | None = None,
        dictionary: Dictionary | None = None,
    ) -> None:
        """`kinds` are those of the `outputs`; `dictionary` is of the labels of lines."""
        self.inputs = tuple(inputs)
        self._program = program
        self._outputs, self._kinds = tuple(outputs), tuple(kinds)
        self._matched = matched_tensors(program, self._outputs, matched)
        self._dictionary = dictionary or Dictionary()
        batch = MAP_BATCH if {*self._kinds} & {"map", "class_map"} else BATCH
        self.recipe = TrainingRecipe(batch_size=batch_size or batch)
        self._threshold = threshold
        self._labels = None if labels is None else self._read_labels(labels, data)
        labelled, masks = (self._labels.files, self._labels.masks) if self._labels else ((), ())
        self._samples = read_samples(data, self.inputs, labelled, masks, augment=augment)
        said = ", ".join(f"{n} ({k})" for n, k in zip(self._outputs, self._kinds, strict=True))
        if self._labels is None:
            remark(
                f"without labels the budget bounds the loss of {self.metric.name}: how much a "
                f"model gives what the original gives for {said}"
            )
        else:
            remark(
                f"the budget bounds the loss of {self.metric.name} on the {len(labelled)} labels "
                f"of {labels}, for {said}; training matches the original, with no labels"
            )
        counts = ", ".join(f"{len(v)} {k}" for k, v in self._samples.splits.items())
        remark(f"the samples of {data} are split by their content: {counts}")

    def _read_labels(self, labels: Path, data: Path) -> Labels:
        if data.suffix in TENSORS:
            raise TaskError(f"labels {labels} are of images, and data {data} is of tensors")
        check_images_fit(data, self.inputs)
        found = zip(self._outputs, self._kinds, strict=True)
        outputs = [
            Output(k, self._original.shapes[n], self._class_count(n, k), self._dictionary)
            for n, k in found
        ]
        return read_labels(labels, data if data.is_dir() else data.parent, self.inputs[0], outputs)

    def _class_count(self, output: str, kind: Kind) -> int:
        """Return the number of classes of an output: its own scores', or those it is chosen of."""
        shape = self._original.shapes[output]
        if self._program.dtypes[output].startswith("float"):
            axis = 2 if kind == "line" else 1
            return shape[axis] if len(shape) > axis else 1
        return max(self._original.shapes[m.tensor][m.axis] for m in self._matched)

    @cached_property
    def _original(self) -> Original:
        from trainables.tasks.exported.original import Original

        names = [matched.tensor for matched in self._matched]
        return Original(self._program, self.inputs, self._outputs, names)

    @cached_property
    def metric(self) -> Metric:
        if self._labels is not None:
            return self._labels.metric
        parts = []
        for name, kind in zip(self._outputs, self._kinds, strict=True):
            shape = self._original.shapes[name]
            classes = max(self._original.shapes[m.tensor][m.axis] for m in self._matched)
            parts.append(part_of(kind, shape, self._threshold, classes))
        return Fidelity(parts)

    def build_model(self) -> paddle.nn.Layer:
        return self._original.build()

    def train_batches(self, batch_size: int, seed: int) -> Iterator[Batch]:
        """Yield an epoch of samples with what the original gives for them."""
        for inputs in self.train_inputs(batch_size, seed):
            yield Batch(inputs, self._original.matched(inputs))

    def train_inputs(self, batch_size: int, seed: int) -> Iterator[Inputs]:
        """Yield an epoch of samples alone, for training that runs the original itself."""
        return epoch(self._samples, batch_size, seed)

    def eval_batches(self, split: Split, batch_size: int) -> Iterator[Batch]:
        """Yield a split with the labels, or else the original's outputs, as targets.

        With labels, images without one are left out of train: the others have none.
        """
        indices, labels = self._samples.labelled[split], self._labels
        for start in range(0, len(indices), batch_size):
            chosen = indices[start : start + batch_size]
            inputs = self._samples.read(chosen)
            targets = labels.targets(chosen) if labels else self._original.outputs(inputs)
            yield Batch(inputs, targets)

    def loss(self, outputs: Any, targets: Sequence[Any]) -> paddle.Tensor:
        from trainables.tasks.exported.imitation import imitation_loss

        return imitation_loss(outputs, targets, self._matched)


def _inputs(
    program: ExportedProgram, prepared: Prepared | None, size: Sizes | None
) -> list[ModelInput]:
    """Return the model's inputs; `prepared` is for images, None for ready tensors."""
    found = []
    for fed in program.inputs:
        shape, *more = input_shapes(fed, prepared or Prepared(), size)
        spec = ModelInput(fed.name, shape, fed.dtype)
        if prepared is not None and len(shape) == 3:
            spec = _image_input(fed, prepared, shape)
        found.append(replace(spec, more_shapes=tuple(more)))
        if more:
            named = ", ".join(" x ".join(map(str, sides)) for _, *sides in (shape, *more))
            remark(
                f"latency ratios are means over the sizes {named}; samples are trained on and "
                "evaluated at the first"
            )
    return found


def _image_input(fed: Fed, prepared: Prepared, shape: tuple[int, ...]) -> ModelInput:
    for option, values in (("mean", prepared.mean), ("std", prepared.std)):
        if shape[0] in CHANNELS and len(values) not in (1, shape[0]):
            raise TaskError(
                f"{option} has {len(values)} values, and input {fed.name} {shape[0]} channels; "
                "give one value, or one for each channel"
            )
    return ModelInput(
        fed.name,
        shape,
        fed.dtype,
        channel_order=prepared.channel_order,
        scale=prepared.scale,
        mean=prepared.mean,
        std=prepared.std,
        image=image_preparation(prepared, shape),
    )


def make_task(
    model: str,
    data: str,
    size: Sizes | None = None,
    mean: Numbers | None = None,
    std: Numbers | None = None,
    scale: float | str | None = None,
    channel_order: str | None = None,
    resize: str | None = None,
    outputs: Sequence[str] = (),
    matched: Sequence[str] = (),
    kind: str | Sequence[str] | None = None,
    threshold: float = 0.5,
    batch_size: int | None = None,
    augment: bool = True,
    labels: str | None = None,
    character_dict_path: str | None = None,
    use_space_char: bool | None = None,
) -> Exported:
    """Return the task; `model` is the folder of an exported model, `data` a folder of images, a
    list of them, or an .npy or .npz file of ready tensors, `size` the engine's height and width
    where the model leaves them free, or several that it is timed at, of which samples are evaluated
    at the first. A pixel becomes (pixel * `scale` - `mean`) / `std`, in `channel_order` RGB or BGR;
    `resize` is exact, or line, which keeps a line of text's aspect ratio; without these the
    toolkit's file beside the model says so. `outputs` names tensors to end the model at, `matched`
    those that training matches, `kind` what the outputs are (classes, line, class_map, map,
    values), `threshold` the chance above which a place of a map counts, `batch_size` that of
    training (by default 8 for maps, else 32), `augment` whether training crops and mirrors,
    `labels` a file of labels: the budget then bounds the loss of their metric. For those of text
    lines `character_dict_path` names the characters, and `use_space_char` says whether a space is
    added."""
    folder, path = Path(str(model)), Path(str(data))
    if not path.exists():
        raise TaskError(f"data {data} is missing; name a folder of images, a list, or an .npz file")
    program = read_program(folder)
    if not program.weights:
        raise TaskError(f"{program.file} has no weights, so nothing can be pruned; name another")
    ends, imitated = names(outputs, "outputs") or program.outputs, names(matched, "matched")
    kinds = output_kinds(program, ends, kind)
    if ends != program.outputs:
        program = with_inputs_read(program, {*ends, *imitated})
    prepared, dictionary, beside = None, None, find_files(folder)[0].parent
    if path.suffix not in TENSORS:
        said = (mean, std, scale, channel_order, resize)
        prepared = preprocessing(beside, *said, reads_lines="line" in kinds)
    if labels is not None and "line" in kinds:
        dictionary = read_dictionary(beside, character_dict_path, use_space_char)
    return Exported(
        program,
        _inputs(program, prepared, size),
        path,
        outputs=ends,
        kinds=kinds,
        matched=imitated,
        threshold=chance(threshold, "threshold"),
        batch_size=None if batch_size is None else count(batch_size, "batch_size"),
        augment=flag(augment, "augment"),
        labels=None if labels is None else Path(str(labels)),
        dictionary=dictionary,
    )
