import io
import json

from rich.console import Console

from search.console import Display
from search.stages.baseline import say_remarks
from tests.search.made_run import baseline
from trainables.files.codec import decode, plain
from trainables.jobs import groups_job
from trainables.remarks import collected, remark
from trainables.results import Baseline
from trainables.settings import TrialSettings


def test_remarks_are_collected_once_each_and_only_where_asked():
    remark("nobody listens")
    with collected() as said:
        remark("one")
        with collected() as inner:
            remark("two")
        remark("one")
        remark("three")
    remark("over")
    assert (said, inner) == (["one", "three"], ["two"])


def make_task():
    """A task that makes a remark."""
    from tests.helpers.tiny.mine import Mine

    remark("half of the list is the test")
    return Mine()


def test_they_reach_the_driver_before_the_groups(tmp_path):
    found = groups_job(
        TrialSettings(
            task=f"{__name__}:make_task", run_folder=str(tmp_path), cache_folder=str(tmp_path)
        )
    )
    assert found.remarks == ("half of the list is the test",) and found.groups


def test_the_driver_prints_them_and_an_older_baseline_has_none():
    printed = io.StringIO()
    display = Display(Console(file=printed, width=200))
    current = plain(Baseline, baseline())
    older = {name: value for name, value in current.items() if name != "remarks"}
    for found in ({**current, "remarks": ["half of the list is the test"]}, older):
        say_remarks(display, decode(Baseline, json.dumps(found)))
    assert printed.getvalue().strip() == "half of the list is the test"
