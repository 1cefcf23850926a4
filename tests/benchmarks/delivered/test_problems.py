"""The problems' settings, and lengths for other processor times."""

from pathlib import Path

import pytest

from benchmarks.delivered.methods import ALL, METHODS, VARIANTS
from benchmarks.delivered.methods.before import COMMIT, REPOSITORY, work_tree
from benchmarks.delivered.methods.ours import VARIANTS as SETTINGS
from benchmarks.delivered.methods.ours import planned
from benchmarks.delivered.part import methods_on
from benchmarks.delivered.problems import OCR, PROBLEMS, SECONDS, problem_named
from search.config import RunConfig

LENGTHS = PROBLEMS["fashion_mnist"].lengths


def test_with_the_whole_time_the_lengths_are_the_problems():
    assert LENGTHS.within(SECONDS) == LENGTHS


def test_with_less_time_all_is_shorter_and_with_more_there_are_more_trials():
    short, long = LENGTHS.within(SECONDS / 16), LENGTHS.within(2 * SECONDS)
    assert (short.full, short.trial, short.trials) == (2_000, 800, 6)
    assert (long.full, long.trial, long.trials) == (LENGTHS.full, LENGTHS.trial, 48)


@pytest.mark.parametrize("name", ["fashion_mnist", "digits", "nuclei", *OCR])
def test_a_search_takes_the_settings(name, tmp_path):
    folder, problem = tmp_path / "delivered" / "cell", problem_named(name)
    config = RunConfig(**planned(problem, 1, SECONDS, folder))
    assert (config.seed, config.budget) == (1, problem.budget)
    worker = problem.settings(tmp_path, folder, 1)
    assert worker.task == config.task
    assert worker.cache.is_relative_to(folder)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_variant_has_settings_that_there_are(name):
    RunConfig(budget=0.1, **SETTINGS[name])


def test_every_method_and_every_problem_has_one_name():
    assert len(ALL) == len(METHODS) + len(VARIANTS)
    assert not PROBLEMS.keys() & OCR.keys()


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_problem_compares_at_least_two_methods(name):
    methods = methods_on(name)
    assert len({*methods}) == len(methods) > 1
    assert {*methods} <= ALL.keys()


def test_the_work_tree_is_the_recorded_commits_and_is_removed(tmp_path):
    if not (REPOSITORY / ".git").exists():
        pytest.skip("a copy without its history")
    with work_tree(tmp_path) as tree:
        assert (tree / "search" / "run.py").is_file()
        head = Path((tree / ".git").read_text().split(": ", 1)[1].strip()) / "HEAD"
        assert head.read_text().startswith(COMMIT)
    assert not tree.exists()
