"""The toolkits' timing, of models that a fake times; test_afterwards.py times real ones."""

from types import SimpleNamespace

import pytest

from search import timing
from trainables.run_times import RunTimes, SizeTimes


@pytest.fixture
def widths():
    """Those of the images that are timed."""
    return [8]


@pytest.fixture
def asked(monkeypatch, widths):
    """What the timing job was asked for; the run's own batch is 64, its threads 2."""
    calls = []

    class Settings(SimpleNamespace):
        def having(self, **changes):
            return Settings(**{**vars(self), **changes})

    def job(settings, files, plan, models, warmup, runs):
        calls.append((settings.latency_batch, settings.threads, warmup, runs))
        times = RunTimes(20.0, 0.5), RunTimes(5.0, 0.25)
        return [SizeTimes(((3, 8, width),), *times) for width in plan]

    found = SimpleNamespace(
        settings=Settings(latency_batch=64, threads=2), files=None, plan=widths, models=[]
    )
    monkeypatch.setattr(timing, "open_delivered", lambda run: found)
    monkeypatch.setattr(timing, "timing_job", job)
    return calls


@pytest.mark.parametrize(
    "flags, calls",
    [
        ((), [(1, 2, 10, 50), (64, 2, 10, 50)]),
        (("--batch", "8", "--threads", "4", "--warmup", "0", "--runs", "5"), [(8, 4, 0, 5)]),
    ],
)
def test_batches_and_threads_are_the_runs_unless_given(flags, calls, asked, capsys):
    assert timing.main(["RUN", *flags]) == 0
    assert asked == calls
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == f"mean (± standard deviation) of {calls[0][3]} runs after {calls[0][2]}:"
    assert lines[-1] == (
        f"batches of {calls[-1][0]}, {calls[-1][1]} threads: "
        "20.00 (± 0.50) to 5.00 (± 0.25) ms, 4.00x faster"
    )


def test_several_sizes_have_a_line_each(asked, widths, capsys):
    widths.append(16)
    assert timing.main(["RUN", "--batch", "1"]) == 0
    _, first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("batches of 1, 2 threads, 3 x 8 x 8: 20.00")
    assert second.startswith("batches of 1, 2 threads, 3 x 8 x 16: 20.00")
