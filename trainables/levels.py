"""The levels of a plan's training: how far it is trained before it is measured again.

A level ends with an annealed learning rate, so its model can be exported and judged as it is; the
next one starts from its weights (warm restarts; Loshchilov & Hutter, ICLR 2017).
"""

from __future__ import annotations

from dataclasses import dataclass

from trainables.results import Baseline
from trainables.settings import WorkerSettings

# Samples in a training batch where a run's baseline does not say: that of an older version, whose
# default recipe has this batch.
OLDER_BATCH = 32
# Of this many plans at a level one is promoted: ASHA's reduction factor, there 4. A guess.
REDUCTION = 3
# Cost of a training sample that pruning does not reduce, as a share of the unpruned model's cost:
# data, and operators that wait for memory (LOG: training counted in compute).
FIXED_COST = 0.1
# Cost of the teacher's run for a sample, in the same unit: 0.22 ms of 6.1 ms in bfloat16 on the
# engine, about twice that in float (LOG: training counted in compute).
TEACHER_COST = 0.04


@dataclass(frozen=True)
class Level:
    """One stretch of training. Samples are those that the unpruned model could see for the cost."""

    index: int
    fidelity: float
    """Share of the training in full that is done at its end; 1 for the last level."""
    samples: float
    """In float, of this level alone."""
    quantized_samples: float
    """Of quantization-aware training, from the level's float weights."""


def training_levels(settings: WorkerSettings, baseline: Baseline) -> tuple[Level, ...]:
    """Return the levels of a study: each has `promotion_factor` times the training of all before.

    The first ends after `finetune_samples`, the last after `retrain_samples`; there is only one if
    those are no more.
    """
    batch = settings.batch_size or baseline.batch_size or OLDER_BATCH
    steps = settings.finetune_steps
    first = float(steps * batch if steps else settings.finetune_samples)
    full = float(max(settings.retrain_samples, first))
    totals = [first]
    while totals[-1] * settings.promotion_factor < full:
        totals.append(totals[-1] * settings.promotion_factor)
    if totals[-1] < full:
        totals.append(full)
    quantized = [settings.qat_samples * total / first for total in totals]
    if len(totals) > 1:
        quantized[-1] = settings.retrain_qat_samples
    done = [0.0, *totals]
    return tuple(
        Level(index, total / full, total - done[index], quantized[index])
        for index, total in enumerate(totals)
    )


def training_cost(multiply_adds: float, *, taught: bool = False) -> float:
    """Return the cost of a training sample, as a share of the unpruned model's.

    `multiply_adds` is the share of those that remain. A plan sees more samples the less one costs,
    so every plan has the same compute, on a busy machine too. `taught` adds the teacher's run.
    """
    return FIXED_COST + (1 - FIXED_COST) * multiply_adds + (TEACHER_COST if taught else 0.0)
