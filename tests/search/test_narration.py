"""What a study prints between its stages."""

import io

from rich.console import Console

from search.console import Display
from search.narration import say_next, say_untimed
from search.records.run_folder import RunFolder
from spaces.plan import Plan
from tests.search.made_run import make_run
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
