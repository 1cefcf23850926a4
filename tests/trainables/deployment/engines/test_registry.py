"""Engines by name."""

import subprocess
import sys
from dataclasses import replace
from typing import get_args

import pytest

from spaces.errors import ConfigError
from spaces.plan import QuantizationChoice
from trainables.deployment.engines.registry import (
    LISTINGS,
    LocalKind,
    offered_choices,
    runtime,
)
from trainables.settings import TrialSettings


def settings_of(kind):
    return TrialSettings(run_folder="run", cache_folder=None, engine=kind)


INSTALLED = [kind for kind, listing in LISTINGS.items() if not listing.on_gpu]


def test_every_name_of_the_setting_has_a_listing():
    assert set(get_args(LocalKind)) == set(LISTINGS)


def test_the_driver_reads_the_names_without_any_engine():
    code = "import sys, search.config;print({'paddle', 'openvino', 'onnxruntime'} & {*sys.modules})"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "set()"


@pytest.mark.parametrize("kind", INSTALLED)
def test_engines_of_this_machine_offer_what_their_listing_says_at_most(kind):
    found = offered_choices(settings_of(kind))
    assert found[0] is QuantizationChoice.FLOAT
    assert {choice.precision for choice in found} <= {*LISTINGS[kind].precisions}


@pytest.mark.parametrize("kind", LISTINGS)
def test_fingerprints_differ_by_precision_where_the_engine_does(kind):
    described = [runtime(kind).describe(p) for p in LISTINGS[kind].precisions]
    if kind != "tensorrt":
        assert len({*described}) == len(described)


def test_an_engine_that_is_not_installed_is_named(monkeypatch):
    wanting = replace(LISTINGS["openvino"], packages=("openvino", "no_such_engine"))
    monkeypatch.setitem(LISTINGS, "openvino", wanting)
    with pytest.raises(ConfigError) as found:
        runtime("openvino")
    assert str(found.value) == (
        "engine openvino needs no_such_engine, which is not installed; "
        'pip install "slimsearch[openvino]", or omit engine'
    )
