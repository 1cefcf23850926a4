"""What a study prints between its stages."""

import io
import re

from rich.console import Console

from search.config import RunConfig
from search.console import Display
from search.narration import first_guess, say_next, say_untimed
from search.records.run_folder import RunFolder
from spaces.plan import Plan
from tests.search.made_run import baseline, make_run
from trainables.results import Untimed


def printed(call, *arguments, **more):
    file = io.StringIO()
    call(*arguments, Display(Console(file=file, width=200)), **more)
    return file.getvalue()


def test_plans_that_cannot_be_timed_are_named_with_the_reason():
    found = [(Plan(), 1.0), Untimed(Plan(), "the engine has no kernel")]
    assert printed(say_untimed, found) == (
        f"{'':<12} a plan cannot be timed: the engine has no kernel\n"
    )


def test_the_next_commands_are_printed_to_be_pasted(tmp_path):
    run = RunFolder(make_run(tmp_path / "run"))

    def say(display, *, finished):
        say_next(display, run, finished=finished)

    unfinished = printed(say, finished=False).splitlines()
    assert unfinished[:2] == ["", "next:"]
    assert f"-m search.run --resume {run.path}    # continue it" in unfinished[2]
    assert f"-m search.select {run.path}" in printed(say, finished=True)


def test_the_first_guess_counts_the_layers_and_with_a_deadline_only_their_share():
    def guess(elapsed_s=0.0, **settings):
        slow = baseline(export_s=20.0)
        return first_guess(RunConfig(budget=0.1, **settings), slow, 2, elapsed_s)

    assert "(" not in guess()
    least, most = re.search(r"\((\d+) to (\d+)\)", guess(layer_precision=True)).groups()
    # Three layers: nine models at 20 s an export, two at a time.
    assert int(most) > int(least) + 5
    assert "(" not in guess(within="2h") and "(" in guess(within="2h", layer_precision=True)
    assert "(" not in guess(7195.0, within="2h", layer_precision=True)
