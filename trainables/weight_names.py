"""Names in a weights file that are not the model's: harmless ones, and those of another model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

# Names of Paddle's optimizer states, and of what trainers save with them.
_OPTIMIZER = re.compile(
    r"_(velocity|moment|moment[12](_max)?|beta[12]_pow_acc|inf_norm|mean_square|mean_grad|momentum"
    r"|_?avg_squared_(grad|update)|squared|linear)(_acc)?_\d+$"
    r"|@GRAD|^(master_weights|LR_Scheduler|lr_scheduler|optimizer|global_step|epoch)\b"
)
# Buffers that are counted or computed; not every version of a network saves them.
_BUFFERS = {
    *("num_batches_tracked", "attn_mask", "relative_position_index", "relative_coords_table"),
    *("position_ids", "anchor_points", "stride_tensor", "anchors"),
}
# The toolkits' names of branches that are used in training only.
_TRAINING = re.compile(r"^(aux|auxiliary|auxlayer|aux_.*|auxlayer.*|loss|criterion|gtc_head)\d*$")
# Models of a distillation other than the student.
_TEACHER = re.compile(r"^((teacher|assistant)\d*|student\d+)$", re.IGNORECASE)
_AVERAGE = re.compile(r"^(ema|ema_model|model_ema|module_ema)\.|(_ema|@EMA)$")
# Prefixes of a whole model: a distillation's student, or a wrapper for several devices.
_WHOLE = ("Student.", "student.", "_layers.", "module.", "model.")


def prefix_of(names: Collection[str], wanted: Sequence[str]) -> str:
    """Return the prefix with which a file has every name of the model, "" if there is none.

    A distillation's file has its student under a prefix.
    """
    if not wanted or all(name in names for name in wanted):
        return ""
    for prefix in _WHOLE:
        if all(f"{prefix}{name}" in names for name in wanted):
            return prefix
    return ""


def harmless_kind(name: str, wanted: Collection[str], elsewhere: Sequence[str]) -> str | None:
    """Return the kind of an array without effect on outputs; None if it belongs to other layers."""
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


def extra_arrays(
    names: Iterable[str], wanted: Collection[str], prefix: str, elsewhere: Sequence[str]
) -> tuple[Counter[str], list[str]]:
    """Return the number of harmless extra arrays by kind, and the names of foreign ones."""
    counts: Counter[str] = Counter()
    foreign = []
    for name in names:
        plain = name.removeprefix(prefix)
        if name.startswith(prefix) and plain in wanted:
            continue
        kind = harmless_kind(plain, wanted, elsewhere)
        if kind is None:
            foreign.append(name)
        else:
            counts[kind] += 1
    return counts, foreign
