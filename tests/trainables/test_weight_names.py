"""Names in a weights file beside the model's own."""

import pytest

from trainables.weight_names import extra_arrays, prefix_of

WANTED = ["0.weight", "0.bias", "1.weight"]


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (
            ["linear_0.w_0_moment1_0", "linear_0.w_0_beta1_pow_acc_0", "LR_Scheduler.last"],
            "of the optimizer",
        ),
        (["0.weight_velocity_0", "0.weight@GRAD"], "of the optimizer"),
        (["1.num_batches_tracked", "0.attn_mask"], "buffers"),
        (["ema.0.weight", "0.bias_ema", "0.bias@EMA"], "averages of the model's"),
        (
            ["Teacher.0.weight", "teacher.conv.weight", "Student2.0.weight"],
            "of a teacher or another student",
        ),
        (
            ["aux_head.conv.weight", "auxlayer1.bias", "head.aux_conv.weight"],
            "of branches for training only",
        ),
        (["rpn_head.conv.weight"], "of parts that stay as they are"),
    ],
)
def test_harmless_arrays_are_counted_by_kind(names, kind):
    found = extra_arrays([*WANTED, *names], set(WANTED), "", ("rpn_head.",))
    assert found == ({kind: len(names)}, [])


@pytest.mark.parametrize(
    "name", ["0.gate.weight", "2.weight", "0.weight_scale", "neck.conv.weight", "Student.0.weight"]
)
def test_arrays_of_other_layers_are_foreign(name):
    assert extra_arrays([*WANTED, name], set(WANTED), "", ()) == ({}, [name])


@pytest.mark.parametrize("prefix", ["Student.", "student.", "_layers.", "module.", "model."])
def test_a_whole_model_is_found_under_its_prefix(prefix):
    names = [f"{prefix}{name}" for name in WANTED] + ["Teacher.other.weight"]
    assert prefix_of(names, WANTED) == prefix
    assert extra_arrays(names, set(WANTED), prefix, ()) == (
        {"of a teacher or another student": 1},
        [],
    )


def test_there_is_no_prefix_where_the_names_are_plain_or_incomplete():
    assert prefix_of([*WANTED, *(f"Student.{name}" for name in WANTED)], WANTED) == ""
    assert prefix_of([f"Student.{name}" for name in WANTED[1:]], WANTED) == ""
    assert prefix_of(["anything"], []) == ""
