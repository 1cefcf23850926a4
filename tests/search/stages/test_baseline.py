"""The engine that a study searches for, from times that are known."""

import io

import pytest
from rich.console import Console

from search.config import RunConfig
from search.console import Display
from search.context import StudyContext, trial_settings
from search.records.clock import StageClock
from search.records.opening import create_run
from search.records.run_folder import read_config
from search.stages.baseline import choose_engine
from spaces.errors import StudyError
from trainables.results import EngineTime

TIMES = [
    EngineTime("onednn", "float", 20.0),
    EngineTime("onednn", "int8", 8.0),
    EngineTime("openvino", "float", 10.0),
    EngineTime("openvino", "bfloat16", 6.0),
    EngineTime("onnxruntime", "float", None, "an operator is unknown"),
]


@pytest.fixture
def chosen(tmp_path):
    """Choose the engine of a run with these settings, whose engines have been timed."""
    runs = []

    def choose(times, printed=None, **settings):
        out = tmp_path / str(len(runs))
        config = RunConfig(budget=0.1, out=str(out), **settings)
        runs.append(create_run(config))
        if times is not None:
            runs[-1].finish_stage("engines", times)
        display = Display(Console(file=printed or io.StringIO(), width=200))
        given = trial_settings(config, runs[-1])
        study = StudyContext(config, runs[-1], given, None, None, None, display, StageClock())
        return choose_engine(study)

    yield choose
    for run in runs:
        run.release()


def test_auto_is_the_fastest_in_any_precision_and_the_runs_own_from_then_on(chosen):
    printed = io.StringIO()
    study = chosen(TIMES, printed, engine="auto")
    assert study.config.engine == study.settings.engine == "openvino"
    assert read_config(study.run.path).engine == "openvino"
    assert "openvino bfloat16: 6 ms" in printed.getvalue()
    assert "onnxruntime float: an operator is unknown" in printed.getvalue()
    assert "searched for: openvino" in printed.getvalue()


def test_auto_looks_at_the_precisions_of_the_choices_only(chosen):
    assert chosen(TIMES, engine="auto", choices=["int8_ptq"]).config.engine == "onednn"
    assert chosen(TIMES, engine="auto", choices=["float"]).config.engine == "openvino"


def test_an_engine_that_is_given_stays(chosen):
    assert chosen(TIMES, engine="openvino").config.engine == "openvino"
    assert chosen(None).config.engine == "onednn"


def test_without_an_engine_that_runs_the_model_the_reason_is_said(chosen):
    with pytest.raises(StudyError, match="no engine runs the unpruned model; an operator"):
        chosen(TIMES[-1:], engine="auto")
