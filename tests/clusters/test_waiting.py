"""What is said while something is waited for; and that every wait of the driver says it."""

import ast
import threading
from pathlib import Path

import pytest

import clusters.waiting
from clusters.resources import Nodes
from clusters.waiting import Awaited, said_while

ROOT = Path(clusters.waiting.__file__).parents[1]
SMALL = {"CPU": 2.0, "memory": 8e9, "node:1": 1.0}
LARGE = {"CPU": 8.0, "GPU": 1.0, "memory": 32e9}
NODES = Nodes((SMALL, LARGE), (SMALL, {**LARGE, "CPU": 0.0}))


@pytest.mark.parametrize(
    "asked, running, words, lacking",
    [
        ({"CPU": 9}, None, "waiting for nodes: no node has 9 cores", True),
        ({"CPU": 2}, None, "30 s, running", False),
        ({"CPU": 8}, None, "running, or waiting for 8 cores to be free", False),
        ({"CPU": 8}, "", "waiting for a worker that takes 8 cores", True),
        ({"CPU": 8}, "2 trials running", "30 s, 2 trials running", False),
        ({}, None, "30 s, not ready yet", False),
    ],
)
def test_a_line_says_whether_it_runs_or_lacks_something(asked, running, words, lacking):
    line, lacks = Awaited("baseline", asked).line(30.0, NODES, running)
    assert line.startswith("baseline: 30 s, ")
    assert words in line
    assert lacks is lacking


def told_while(awaited, lines, monkeypatch, **more):
    """Wait until so many lines were said; return them."""
    monkeypatch.setattr(clusters.waiting, "_nodes", lambda: NODES)
    said, enough = [], threading.Event()

    def say(text):
        said.append(text)
        if len(said) >= lines:
            enough.set()

    with said_while(awaited, say, every_s=0.01, **more):
        assert enough.wait(120)
    return said


def test_what_cannot_begin_is_said_again_and_again_also_beside_a_clock(monkeypatch):
    said = told_while(Awaited("trial", {"GPU": 4}), 3, monkeypatch, quiet=True)
    assert all("waiting for nodes: no node has 4 GPUs" in line for line in said)


def test_what_goes_on_is_said_more_and_more_rarely(monkeypatch):
    asked = threading.Semaphore(0)

    def running():
        asked.release()
        return "2 trials running"

    said = told_while(Awaited("search", {"CPU": 1}), 4, monkeypatch, running=running)
    assert len(said) >= 4
    # After 1, 2, 4 and 8 pauses.
    pauses = 0
    while asked.acquire(blocking=False):
        pauses += 1
    assert pauses >= 8


# Calls that may wait for something outside of the process, by the last part of their name.
WAITS = {"get", "wait", "init", "fit", "join", "sleep", "flock", "FileLock", "run", "result"}
# Names that are called the same and wait for nothing, by what stands before the point.
RECEIVERS = {
    "ray": {"get", "wait", "init"},
    "time": {"sleep"},
    "subprocess": {"run"},
    "fcntl": {"flock"},
    "tuner": {"fit"},
    "trainer": {"fit"},
    "_thread": {"join"},
    "_ended": {"wait"},
    "ended": {"wait"},
    "thread": {"join"},
}

# Where they are, and who speaks meanwhile. A wait that is not here fails the test below.
SPOKEN_FOR = {
    # Within `said_while`, here or where these are called from.
    ("clusters/connect.py", "ray.init"): "said_while",
    ("search/stages/search.py", "tuner.fit"): "said_while",
    ("search/workers.py", "ray.get"): "display.waiting or display.bar, by its callers there",
    ("search/workers.py", "ray.wait"): "display.bar",
    ("search/cli/paths.py", "ray.get"): "display.bar",
    ("search/stages/retrain.py", "trainer.fit"): "display.waiting, by its caller there",
    # Says by itself, each half minute.
    ("clusters/storage.py", "time.sleep"): "says what it waits for and since when",
    # On workers: the driver waits for their result, and speaks.
    ("clusters/files.py", "FileLock"): "worker",
    ("clusters/lease.py", "fcntl.flock"): "worker",
    ("clusters/paddle_backend.py", "ray.get"): "worker",
    ("trainables/deployment/onnx_export.py", "subprocess.run"): "said_while of to_onnx",
    ("trainables/deployment/engines/command.py", "subprocess.run"): "worker, probe_timeout_s",
    ("trainables/deployment/gpu.py", "subprocess.run"): "worker, STATE_LIMIT_S",
    # Shorter than half a minute, whatever happens: see the test of the bounds.
    ("clusters/owner.py", "time.sleep"): "bounded",
    ("clusters/owner.py", "_thread.join"): "bounded",
    # In a thread of its own; nobody waits for it.
    ("clusters/owner.py", "_ended.wait"): "thread",
    ("clusters/waiting.py", "ended.wait"): "thread",
    # With no patience: refused at once.
    ("search/records/run_lock.py", "FileLock"): "acquire(timeout=0)",
}


def name_of(call):
    """Return "receiver.method" of a call, or the name of a function."""
    if isinstance(call.func, ast.Name):
        return call.func.id
    if not isinstance(call.func, ast.Attribute):
        return ""
    value = call.func.value
    receiver = value.id if isinstance(value, ast.Name) else getattr(value, "attr", "")
    return f"{receiver}.{call.func.attr}"


def waits():
    """Return the file and the name of every call that may wait."""
    found = set()
    for package in ("search", "clusters", "spaces", "trainables"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call):
                    continue
                receiver, _, method = name_of(node).rpartition(".")
                if method == "FileLock" or method in RECEIVERS.get(receiver, ()):
                    found.add((path.relative_to(ROOT).as_posix(), name_of(node)))
    return found


def test_every_wait_is_spoken_for():
    assert waits() == set(SPOKEN_FOR)


def enclosing(path, call):
    """Return the contexts around each call of a name in a file."""
    found = []

    def visit(node, around):
        if isinstance(node, ast.With):
            around = (
                *around,
                *(
                    name_of(i.context_expr)
                    for i in node.items
                    if isinstance(i.context_expr, ast.Call)
                ),
            )
        if isinstance(node, ast.Call) and name_of(node).endswith(call):
            found.append(around)
        for child in ast.iter_child_nodes(node):
            visit(child, around)

    visit(ast.parse((ROOT / path).read_text()), ())
    return found


@pytest.mark.parametrize(
    "path, call, context",
    [
        ("clusters/connect.py", "ray.init", "said_while"),
        ("search/stages/search.py", "tuner.fit", "said_while"),
        ("search/workers.py", "_fetch", "display"),
        ("search/workers.py", "ray.wait", "display.bar"),
        ("search/cli/paths.py", "ray.get", "display.bar"),
        ("search/stages/retrain.py", "train_on_workers", "display.waiting"),
        ("search/stages/deliver.py", "files.fetch", "display.waiting"),
        ("search/to_onnx.py", "onnx_job", "said_while"),
    ],
)
def test_what_waits_does_so_within_what_speaks(path, call, context):
    found = enclosing(path, call)
    assert found
    for around in found:
        assert any(name.startswith(context) for name in around), f"{path}: {call} waits silently"


def test_short_waits_are_shorter_than_half_a_minute():
    from clusters import owner

    assert owner.HEARTBEAT.silence_s + owner.HEARTBEAT.settle_s < clusters.waiting.EVERY_S
