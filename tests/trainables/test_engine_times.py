"""The unpruned model on the engines that are installed."""

import pytest

from trainables.deployment.engines.registry import LISTINGS, installed
from trainables.engine_times import time_engines
from trainables.files.codec import decode, encode
from trainables.probe import NoLease
from trainables.results import EngineTime


def test_it_is_timed_on_each_in_each_precision_that_is_asked_for(context):
    kinds = installed()
    assert kinds[0] == "onednn" and not any(LISTINGS[kind].on_gpu for kind in kinds)
    found = time_engines(context.task, context.settings, kinds, ("float", "int8"), NoLease())
    assert decode(list[EngineTime], encode(list[EngineTime], found)) == found
    assert {(time.engine, time.precision) for time in found} == {
        (kind, precision) for kind in kinds for precision in ("float", "int8")
    }
    assert all(time.latency_ms > 0 and time.reason is None for time in found)


def test_an_engine_that_cannot_run_it_leaves_the_others(context, monkeypatch):
    pytest.importorskip("openvino")

    def refuse(*_):
        raise RuntimeError("an operator\nis unknown")

    monkeypatch.setattr("trainables.deployment.engines.openvino.OpenVinoEngine.__init__", refuse)
    kinds = ("onednn", "openvino")
    timed, failed = time_engines(context.task, context.settings, kinds, ("float",), NoLease())
    assert timed.engine == "onednn" and timed.latency_ms > 0
    assert failed == EngineTime("openvino", "float", None, failed.reason)
    assert "an operator" in failed.reason and "\n" not in failed.reason
