"""The arrays of a weights file that the model does not have: which change nothing, which show that
the file is another model's."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

# What Paddle's optimizers call their state, and what trainers save beside it.
_OPTIMIZER = re.compile(
    r"_(velocity|moment|moment[12](_max)?|beta[12]_pow_acc|inf_norm|mean_square|mean_grad|momentum"
    r"|_?avg_squared_(grad|update)|squared|linear)(_acc)?_\d+$"
    r"|@GRAD|^(master_weights|LR_Scheduler|lr_scheduler|optimizer|global_step|epoch)\b"
)
# Buffers that are counted or computed, which versions of a network save or do not.
_BUFFERS = {
    *("num_batches_tracked", "attn_mask", "relative_position_index", "relative_coords_table"),
    *("position_ids", "anchor_points", "stride_tensor", "anchors"),
}
# Branches that networks have in training only, as the toolkits call them.
_TRAINING = re.compile(r"^(aux|auxiliary|auxlayer|aux_.*|auxlayer.*|loss|criterion|gtc_head)\d*$")
# Of a distillation, what is not its student.
_TEACHER = re.compile(r"^((teacher|assistant)\d*|student\d+)$", re.IGNORECASE)
_AVERAGE = re.compile(r"^(ema|ema_model|model_ema|module_ema)\.|(_ema|@EMA)$")
# The prefixes of a whole model: of a distillation's student, and of wrappers for several devices.
_WHOLE = ("Student.", "student.", "_layers.", "module.", "model.")


def prefix_of(names: Collection[str], wanted: Sequence[str]) -> str:
    """Return what the file puts before every name of the model; "" if nothing, or if it lacks any.

    A distillation's file holds its student under a name of its own.
    """
    held = set(names)
    if not wanted or all(name in held for name in wanted):
        return ""
    for prefix in _WHOLE:
        if all(f"{prefix}{name}" in held for name in wanted):
            return prefix
    return ""


def kind_of(name: str, wanted: Collection[str], elsewhere: Sequence[str]) -> str | None:
    """Return why the model can do without an array; None if its outputs would not be the file's."""
    if name.startswith(tuple(elsewhere)):
        return "of parts that stay as they are"
    if _OPTIMIZER.search(name):
        return "of the optimizer"
    parts = name.split(".")
    if parts[-1] in _BUFFERS:
        return "buffers"
    if _AVERAGE.sub("", name) in wanted:
        return "averages of the model's"
    if _TEACHER.match(parts[0]):
        return "of a teacher or another student"
    if any(_TRAINING.match(part) for part in parts):
        return "of branches for training only"
    return None


def unused(
    names: Iterable[str], wanted: Collection[str], prefix: str, elsewhere: Sequence[str]
) -> tuple[Counter[str], list[str]]:
    """Return how many arrays of each kind are not needed, and those that cannot be left out."""
    counts: Counter[str] = Counter()
    missed = []
    for name in names:
        plain = name.removeprefix(prefix)
        if name.startswith(prefix) and plain in wanted:
            continue
        kind = kind_of(plain, wanted, elsewhere)
        if kind is None:
            missed.append(name)
        else:
            counts[kind] += 1
    return counts, missed
