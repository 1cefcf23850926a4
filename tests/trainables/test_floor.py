from dataclasses import replace

import pytest

from trainables import floor
from trainables.floor import BaselineFloor
from trainables.settings import TrialSettings


@pytest.fixture
def settings(tmp_path):
    return TrialSettings("mine", str(tmp_path / "run"), str(tmp_path / "cache"))


def test_before_anyone_has_timed_the_baseline_nothing_is_known(settings):
    assert BaselineFloor(settings, "weights").known_ms is None


def test_a_time_below_the_known_one_takes_its_place_and_a_longer_one_does_not(settings):
    known = BaselineFloor(settings, "weights")
    assert known.lower(5.0) == 5.0
    assert known.lower(6.0) == 5.0
    assert known.known_ms == 5.0
    assert known.lower(4.0) == 4.0
    assert known.known_ms == 4.0


def test_what_one_worker_saw_the_others_know(settings):
    """Also those that opened it before, and those of another study of the same model."""
    early = BaselineFloor(settings, "weights")
    BaselineFloor(replace(settings, run_folder="elsewhere", seed=7), "weights").lower(5.0)
    assert early.known_ms == 5.0
    assert early.lower(9.0) == 5.0


@pytest.mark.parametrize("change", [{"latency_batch": 8}, {"threads": 2}])
def test_another_batch_and_other_threads_are_another_time(settings, change):
    BaselineFloor(settings, "weights").lower(5.0)
    assert BaselineFloor(replace(settings, **change), "weights").known_ms is None


def test_another_model_is_another_time(settings):
    BaselineFloor(settings, "weights").lower(5.0)
    assert BaselineFloor(settings, "other weights").known_ms is None


@pytest.mark.parametrize(
    ("name", "other"), [("processor", lambda: "another"), ("describe", lambda precision: "another")]
)
def test_another_machine_or_engine_is_another_time(settings, monkeypatch, name, other):
    BaselineFloor(settings, "weights").lower(5.0)
    monkeypatch.setattr(floor, name, other)
    assert BaselineFloor(settings, "weights").known_ms is None


def test_a_damaged_file_is_as_if_nothing_was_known(settings, tmp_path):
    BaselineFloor(settings, "weights").lower(5.0)
    (path,) = (tmp_path / "cache" / "undisturbed").iterdir()
    path.write_text("{")
    assert BaselineFloor(settings, "weights").lower(7.0) == 7.0
    assert BaselineFloor(settings, "weights").known_ms == 7.0
