"""A study whose stages have been done: nothing is given to it that it could do them with."""

import pytest

from search.config import RunConfig
from search.console import Display
from search.context import StudyContext
from search.records.clock import StageClock
from search.records.opening import create_run
from tests.search.made_run import baseline


@pytest.fixture
def run(tmp_path):
    folder = create_run(RunConfig(budget=0.1, out=str(tmp_path / "run")))
    yield folder
    folder.release()


@pytest.fixture
def survey(run):
    """Run a stage that measures before the search, on a baseline and a space."""

    def found(stage, space, **settings):
        config = RunConfig(budget=0.1, **settings)
        study = StudyContext(config, run, None, None, None, None, Display(), StageClock())
        return stage(study, baseline(), space)

    return found
