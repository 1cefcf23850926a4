import json

import numpy as np
import pytest

from spaces.plan import Plan, QuantizationChoice
from tests.search.made_run import baseline
from trainables.data.image_input import CenterCrop, Normalize, Pad, Preparation, Resize
from trainables.files.codec import decode, encode, plain
from trainables.results import (
    Baseline,
    Chance,
    FinalFigures,
    LatencyReading,
    Measurement,
    Probe,
    Reference,
    Sizes,
    TrialResult,
    Untimed,
)
from trainables.task import ModelInput

PLAN = Plan.of({"conv1.weight": 0.5}, QuantizationChoice.INT8_PTQ)
READING = LatencyReading(2.0, 4.0, 0.5, 0.01, 2.1, 20, 64, 1)
STEPS = (
    Resize("shorter_side", side=256, library="opencv"),
    CenterCrop(224, 224),
    Pad(multiple=32, value=(1.0, 2.0, 3.0)),
    Normalize(double=True),
)
IMAGE = ModelInput("image", (3, 224, 224), std=(0.2, 0.2, 0.2), image=Preparation(STEPS))
MEASUREMENT = Measurement("finetune", 0, 0.5, 0.8, 0.1, 0.01, None)
VALUES = [
    (Baseline, baseline(inputs=(IMAGE,), chance=Chance(0.1, False), remarks=("one",))),
    (Baseline, baseline(references=(Reference(PLAN, 0.25),), first_batch="ab")),
    (list[Reference | Untimed], [Reference(PLAN, 0.25), Untimed(Plan(), "no such operator")]),
    (FinalFigures, FinalFigures(0.9, 0.8, 0.1, 0.01, READING, Sizes(9, 3), "e", {"a": True})),
    (TrialResult, TrialResult("STOPPED", "slow", 0.8, measurements=[MEASUREMENT])),
    (TrialResult, TrialResult("COMPLETE", readings=[Probe("shape", True, READING)])),
]


@pytest.mark.parametrize("kind, value", VALUES)
def test_a_value_comes_back(kind, value):
    assert decode(kind, encode(kind, value)) == value


def test_a_plan_is_written_as_in_plan_json():
    assert plain(Reference, Reference(PLAN, 0.25))["plan"] == PLAN.to_json()


@pytest.mark.parametrize("number", [np.float32(0.5), np.float64(0.5), np.int64(1), np.array(0.5)])
def test_numpys_numbers_are_written_as_numbers(number):
    written = encode(Baseline, baseline(metric=number))
    assert json.loads(written)["metric"] == number


def test_fields_of_another_version_are_ignored():
    written = {**plain(Sizes, Sizes(9, 3)), "unheard_of": 1}
    assert decode(Sizes, json.dumps(written)) == Sizes(9, 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"metric": float("nan")},
        {"latency_ms": 0.0},
        {"size_bytes": 0},
        {"groups": [{"name": "a", "channels": 0}]},
        {"groups": [{"name": "a"}]},
        {"choices": ["int4"]},
        {"references": [{"plan": {"ratios": {"a": 2}, "quantization": "float"}}]},
        {"references": [{"plan": [], "latency_ratio": 1.0}]},
        {"inputs": [{"name": "image"}]},
        {"layers": None},
    ],
)
def test_what_is_damaged_is_refused(changes):
    with pytest.raises(ValueError):
        decode(Baseline, json.dumps({**plain(Baseline, baseline()), **changes}))
