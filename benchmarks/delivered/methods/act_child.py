"""One run of PaddleSlim's AutoCompression, in static mode: `python -m ... act_child FILE`.

FILE is a `CompressionJob` in JSON. Static mode and PaddleSlim's global scope last for the process,
so every run has its own.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.delivered.workshop import Place
from trainables.files.codec import decode
from trainables.task import Task

# Regularization of PaddleSlim's default training.
WEIGHT_DECAY = 4e-5
# Largest global norm of the gradients: without it higher learning rates diverge. A guess.
GRADIENT_NORM = 5.0
# The file with the processor seconds of a step, and the first step that is timed: those before it
# also build the program.
PACE = "pace"
FIRST_TIMED = 3


@dataclass(frozen=True)
class CompressionJob:
    """What one run of AutoCompression is given."""

    place: Place
    source: str
    """Folder of the exported model to compress."""
    teacher: str
    """Folder of the exported model whose outputs are learned."""
    target: str
    ratio: float | None
    """Share of every convolution's channels to prune; None: quantization-aware training."""
    learning_rate: float
    steps: int
    automatic: bool = False
    """PaddleSlim's default training in place of `learning_rate`."""


def training_inputs(task: Task, seed: int) -> Iterator[Sequence[np.ndarray]]:
    """Yield one pass over the training data. AutoCompression runs the teacher itself, so that of an
    exported model is not run here."""
    from trainables.tasks.exported.task import Exported

    size = task.recipe.batch_size
    if isinstance(task, Exported):
        yield from task.train_inputs(size, seed)
    else:
        yield from (batch.inputs for batch in task.train_batches(size, seed))


def batches(job: CompressionJob) -> Iterator[dict[str, np.ndarray]]:
    """Yield training inputs by name, one pass over the data after the other, without end.

    PaddleSlim's default training is one pass, here of `steps` at most. The pace is written when
    the last step begins.
    """
    from trainables.loading import study_task

    task = study_task(job.place.settings)
    names = [spec.name for spec in task.inputs]
    step, started = 0, 0.0
    for epoch in range(1 if job.automatic else job.steps):
        for inputs in training_inputs(task, job.place.seed + 100_003 * epoch):
            step += 1
            if step == FIRST_TIMED:
                started = time.process_time()
            if step == job.steps > FIRST_TIMED:
                pace = (time.process_time() - started) / (step - FIRST_TIMED)
                (Path(job.target) / PACE).write_text(repr(pace))
            yield dict(zip(names, inputs, strict=True))
            if job.automatic and step == job.steps:
                return


def train_config(job: CompressionJob) -> dict:
    if job.automatic:
        from paddleslim.auto_compression.auto_strategy import DefaultTrainConfig

        return dict(DefaultTrainConfig)
    return {
        "train_iter": job.steps,
        "learning_rate": {
            "type": "CosineAnnealingDecay",
            "learning_rate": job.learning_rate,
            "T_max": job.steps,
        },
        "optimizer_builder": {
            "optimizer": {"type": "Momentum"},
            "weight_decay": WEIGHT_DECAY,
            "grad_clip": {"type": "ClipGradByGlobalNorm", "clip_norm": GRADIENT_NORM},
        },
    }


def strategy(job: CompressionJob, teacher: Path) -> dict:
    """Return the strategy: both learn the teacher's outputs by their squared difference."""
    from trainables.compression.slim import QUANTIZED_OPERATORS
    from trainables.deployment.exported import MODEL_FILE, WEIGHTS_FILE

    distillation = {
        "loss": "l2",
        "teacher_model_dir": str(teacher),
        "teacher_model_filename": MODEL_FILE,
        "teacher_params_filename": WEIGHTS_FILE,
    }
    if job.ratio is not None:
        pruning = {"pruned_ratio": job.ratio, "criterion": "l1_norm"}
        return {"ChannelPrune": pruning, "Distillation": distillation}
    # Without transposed convolutions, for which the engine has no INT8 kernel.
    quantization = {"quantize_op_types": QUANTIZED_OPERATORS}
    return {"QuantAware": quantization, "Distillation": distillation}


def trainable_copy(source: Path, target: Path) -> None:
    """Copy an exported model, changed so that AutoCompression can train it.

    Paddle names sums "tmp_0", "tmp_1" and so on, in the model and again in the loss that is added
    to it: the loss then overwrites the model's sums, and everything becomes NaN in one step. And
    Paddle 3 exports batch normalization with frozen statistics, which a pruned model cannot use.
    AutoCompression writes into the folder that it is given, so it is a copy.
    """
    import paddle

    from trainables.deployment.exported import MODEL_FILE, WEIGHTS_FILE

    target.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source / WEIGHTS_FILE, target / WEIGHTS_FILE)
    program = paddle.base.core.ProgramDesc((source / MODEL_FILE).read_bytes())
    block = program.block(0)
    for variable in block.all_vars():
        name = variable.name()
        if name.startswith("tmp_"):
            block._rename_var(name.encode(), f"model_{name}".encode())
    for index in range(block.op_size()):
        if block.op(index).type() == "batch_norm":
            block.op(index)._set_bool_attr("use_global_stats", False)
    (target / MODEL_FILE).write_bytes(program.serialize_to_string())


def compress(job: CompressionJob) -> None:
    """Write the compressed model to the job's target."""
    import paddle
    from paddleslim.auto_compression import AutoCompression

    import trainables  # noqa: F401  (sets paddle's flag before paddle is imported)
    from trainables.compression import slim  # noqa: F401  (makes PaddleSlim work on Paddle 3)
    from trainables.deployment.exported import MODEL_FILE, WEIGHTS_FILE

    source, teacher = Path(job.target) / "source", Path(job.target) / "teacher"
    trainable_copy(Path(job.source), source)
    trainable_copy(Path(job.teacher), teacher)
    paddle.seed(job.place.seed)
    AutoCompression(
        model_dir=str(source),
        model_filename=MODEL_FILE,
        params_filename=WEIGHTS_FILE,
        save_dir=job.target,
        config={"TrainConfig": train_config(job), **strategy(job, teacher)},
        train_dataloader=lambda: batches(job),
        eval_dataloader=lambda: batches(job),
        deploy_hardware="cpu",
    ).compress()


if __name__ == "__main__":
    compress(decode(CompressionJob, Path(sys.argv[1]).read_bytes()))
