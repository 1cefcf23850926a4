"""500 combinations of a damaged file of a run and a command: one line, a rebuilt file, or a result.

They are called in this process, up to the place where Ray would start.
"""

import contextlib
import json
import random
import shutil
from collections import Counter
from itertools import count

import pytest

from search.cli.parser import run_command
from search.records.ledger import Ledger
from search.records.manifest import digests
from search.records.opening import resume_run
from search.records.run_folder import JOURNAL
from search.records.search_space import build_space
from search.records.tables import Store
from search.records.trial_record import TrialRecord
from search.report import build_parser
from search.reporting.findings import read_findings
from search.reporting.page import run_page, state_line
from search.tune.plan_source import Sources
from search.tune.searcher import Limits, PlanSearcher
from spaces.errors import LINE, RunFolderError
from spaces.mixing import Int8Costs
from spaces.plan import Plan, QuantizationChoice
from tests.search.commands import COMMANDS, RayStartsError, ray_starts
from tests.search.made_run import BEGAN, MANIFEST, baseline, make_run, plan_of, result_of
from trainables.deployment.exported import PADDLE_FILES
from trainables.files.codec import encode

CASES = 500
SEED = 24
TRIALS = 6
DAMAGES = ("truncated", "emptied", "flipped", "flipped", "flipped", "missing", "garbled", "folder")


def searcher_of(run, config):
    """Return the searcher of a run, as the search stage opens it."""
    baseline = run.stage("baseline")
    space = build_space(config, baseline)
    ledger = Ledger.load(Store(run.folder), config.budget, space.groups, baseline.layers)
    return PlanSearcher(
        Sources(space), ledger, run.path / JOURNAL, config.seed, limits=Limits(trials=24)
    )


def carry_on(given):
    """Do what --resume does between Ray's start and the first trial."""
    run, config = resume_run(given.run)
    try:
        # Of a run that was damaged beyond its baseline nothing is searched yet.
        if run.stage("baseline") is not None:
            assert searcher_of(run, config).suggest("first") is not None
    finally:
        run.release()
    return 0


def make_finished(path):
    """Return a made run that is finished, with files in place of models."""
    run = make_run(path, TRIALS)
    for part in ("model", "baseline"):
        (run / part).mkdir()
        for name in PADDLE_FILES:
            (run / part / name).write_bytes(f"{part} {name}".encode() * 99)
    (run / "plan.json").write_text(json.dumps(plan_of(1).to_json()))
    files = [run / part / name for part in ("model", "baseline") for name in PADDLE_FILES]
    sums = digests(run, [*files, run / "plan.json"])
    (run / "manifest.json").write_text(json.dumps({**MANIFEST, "sha256": sums}))
    return run


def sometimes_a_page(calls):
    """Return what draws every fifth page, and only computes what the others would show."""

    def page(findings, address):
        for table in (findings.points, findings.progress, findings.pruned, findings.sensitivity):
            table()
        findings.trial_seconds()
        return run_page(findings, address) if next(calls) % 5 == 0 else state_line(findings)

    return page


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run that is going on, with Optuna's journal, and one that is finished."""
    folder = tmp_path_factory.mktemp("runs")
    going_on, finished = make_run(folder / "going-on", TRIALS), make_finished(folder / "finished")
    run, config = resume_run(going_on)
    searcher_of(run, config)
    run.release()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setattr("ray.init", ray_starts)
        # Pictures are drawn from what the page is drawn from, and take a second; a page a third.
        patch.setattr("search.reporting.files.draw_pictures", lambda findings: [])
        patch.setattr("search.reporting.files.run_page", sometimes_a_page(count()))
        # What these find is timed and converted in tests/search/test_afterwards.py.
        patch.setattr("search.timing.timing_job", ray_starts)
        patch.setattr("search.to_onnx.onnx_job", ray_starts)
        yield going_on, finished


def damage(path, how, draw):
    """Damage a file."""
    data = path.read_bytes()
    if how == "missing":
        path.unlink()
    elif how == "folder":
        path.unlink()
        path.mkdir()
    elif how == "emptied":
        path.write_bytes(b"")
    elif how == "truncated":
        path.write_bytes(data[: draw.randrange(max(1, len(data)))])
    elif how == "garbled":
        path.write_bytes(draw.randbytes(len(data)))
    else:
        changed = bytearray(data or b"\0")
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        path.write_bytes(bytes(changed))


def restore(run, before):
    """Have a run's folder hold the files it did, and no others."""
    for path in sorted(run.rglob("*"), reverse=True):
        if path.is_dir() and not any(path in file.parents for file in before):
            shutil.rmtree(path)
        elif path.is_file() and path not in before and path.name != ".lock":
            path.unlink()
    for path, data in before.items():
        if not path.is_file() or path.read_bytes() != data:
            path.write_bytes(data)


def commands_of(going_on, finished):
    """Return command lines, and the run that each is about."""
    for run in (going_on, finished):
        yield run, "report", [str(run)]
        yield run, "reexport", [str(run), "1"]
    yield finished, "report", [str(finished), "--out", str(finished.parent / "out")]
    yield going_on, "run", ["--resume", str(going_on)]
    yield going_on, "carry on", [str(going_on)]
    yield going_on, "carry on", [str(going_on)]
    yield finished, "run", ["--resume", str(finished)]
    yield finished, "select", [str(finished), "--budget", "0.05"]
    yield finished, "timing", [str(finished)]
    yield finished, "to_onnx", [str(finished)]


def call(command, arguments, capsys):
    """Call a command; return its exit status, None where it goes on with Ray or with a model."""
    capsys.readouterr()
    with contextlib.suppress(RayStartsError):
        if command == "carry on":
            status = run_command(build_parser, carry_on, arguments)
        else:
            status = COMMANDS[command].main(arguments)
        said = capsys.readouterr()
        assert status in (0, 1, 2)
        lines = said.err.splitlines()
        assert len(lines) == (status != 0), said.err
        assert all(len(line) <= LINE and line.isprintable() for line in lines), lines
        assert "Traceback" not in said.out
        return status
    return None


def test_no_damage_ends_in_a_traceback(runs, capsys):
    draw = random.Random(SEED)
    lines = list(commands_of(*runs))
    before = {run: {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} for run in runs}
    ended = Counter()
    for number in range(CASES):
        run, command, arguments = draw.choice(lines)
        # Each kind of file as often as any other, not each of the hundred row files.
        files = sorted(before[run])
        folder = draw.choice(sorted({path.parent for path in files}))
        path = draw.choice([path for path in files if path.parent == folder])
        how = draw.choice(DAMAGES)
        damage(path, how, draw)
        try:
            ended[call(command, arguments, capsys)] += 1
        except BaseException as error:
            error.add_note(f"case {number}: {command}, {path.relative_to(run)} {how}")
            raise
        finally:
            restore(run, before[run])
    # Some are refused; most concern what the command does not read, or can be made again.
    assert ended[2] > CASES / 10 and ended[0] > CASES / 5


def test_a_damaged_row_file_is_left_out_and_said(runs, capsys):
    going_on, _ = runs
    path = going_on / "trials" / "000002.parquet"
    before = {path: path.read_bytes() for path in going_on.rglob("*") if path.is_file()}
    path.write_bytes(path.read_bytes()[:-9])
    assert COMMANDS["report"].main([str(going_on)]) == 0
    said = capsys.readouterr().out
    assert "damaged, and ignored: trials/000002.parquet" in said
    assert f"{TRIALS - 1} of 24 trials" in said
    run, config = resume_run(going_on)
    searcher = searcher_of(run, config)
    run.release()
    # Optuna had heard of a trial that the tables no longer have: it is told of those they have.
    assert searcher.rebuilt and (going_on / f"{JOURNAL}.damaged").is_file()
    restore(going_on, before)


def test_a_flipped_bit_of_a_value_in_a_row_file_is_noticed(runs):
    going_on, _ = runs
    path = going_on / "trials" / "000001.parquet"
    data = path.read_bytes()
    changed = bytearray(data)
    # In the text of the plan, which no schema and no statistics tell.
    changed[data.index(b"quantization")] ^= 4
    path.write_bytes(bytes(changed))
    store = Store(going_on)
    store.read("trials")
    path.write_bytes(data)
    assert store.damaged == {"trials/000001.parquet"}


@pytest.mark.parametrize("place", [0.2, 0.5, 0.9])
def test_a_damaged_journal_is_made_again_from_the_tables(runs, place):
    going_on, _ = runs
    journal = going_on / JOURNAL
    before = {path: path.read_bytes() for path in going_on.rglob("*") if path.is_file()}
    changed = bytearray(journal.read_bytes())
    changed[round(place * len(changed))] ^= 1
    journal.write_bytes(bytes(changed))
    run, config = resume_run(going_on)
    searcher = searcher_of(run, config)
    run.release()
    told = {trial.number: trial for trial in searcher.optuna_trials}
    rows = {row["number"]: row for row in Store(going_on).read("trials")}
    if searcher.rebuilt:
        aside = (going_on / f"{JOURNAL}.damaged").read_bytes()
        assert aside.startswith(bytes(changed))
    restore(going_on, before)
    for number, row in rows.items():
        if row["state"] == "COMPLETE":
            assert told[number].values == [row["metric_loss"], row["latency_ratio"]]


def test_a_whole_journal_is_not_made_again(runs):
    going_on, _ = runs
    before = (going_on / JOURNAL).read_bytes()
    run, config = resume_run(going_on)
    assert not searcher_of(run, config).rebuilt
    run.release()
    (going_on / JOURNAL).write_bytes(before)


@pytest.mark.parametrize(
    "name, text, said",
    [
        ("baseline", "{", "baseline.json"),
        ("baseline", '{"metric_name": "top1"}', "baseline.json"),
        ("sensitivity", '{"other": [[0.5, 0.1]]}', "sensitivity"),
        ("latency", '[[{"ratios": {"a": 2}, "quantization": "float"}, 1.0]]', "latency.json"),
        ("latency", "[" * 9999, "latency.json"),
        ("seconds", '{"baseline": "long"}', "seconds.json"),
    ],
)
def test_a_stage_that_was_damaged_is_named_in_one_line(tmp_path, name, text, said):
    path = make_run(tmp_path / "run", 1)
    (path / "stages" / f"{name}.json").write_text(text)
    with pytest.raises(RunFolderError, match=said) as caught:
        resume_run(path)
    assert len(str(caught.value).splitlines()) == 1
    # And it was let go again.
    (path / "stages" / f"{name}.json").unlink()
    resume_run(path)[0].release()


@pytest.mark.parametrize("left", [None, "{", encode(Int8Costs, Int8Costs(0.07, 0.2, 0.4))])
def test_lost_layers_that_trials_have_in_float_are_said_in_one_line(tmp_path, runs, capsys, left):
    # What --resume does then: tests/search/stages/test_layers.py.
    run = make_finished(tmp_path / "run")
    plan = Plan.of({"head.weight": 0.5}, QuantizationChoice.INT8_PTQ, ["head"])
    ledger = Ledger.load(Store(run), 0.1, baseline().groups, baseline().layers)
    ledger.record(TrialRecord(TRIALS, plan, "proposed", result_of(TRIALS, plan), BEGAN, 15.0))
    report, select = ("report", [str(run)]), ("select", [str(run), "--budget", "0.05"])
    assert call(*report, capsys) == 0
    path = run / "stages" / "layers.json"
    path.unlink()
    if left is not None:
        path.write_text(left)
    with pytest.raises(RunFolderError, match=r"stages/layers\.json"):
        read_findings(str(run))
    assert call(*report, capsys) == 2
    # It predicts nothing of them, so it needs the file only to be whole.
    assert call(*select, capsys) == (2 if left == "{" else None)
