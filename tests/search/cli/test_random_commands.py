"""500 wrong command lines: each ends with one short line, none with a traceback.

They are called in this process, and stop where Ray would start.
"""

import contextlib
import random
import subprocess
import sys

import pytest

from spaces.errors import LINE
from tests.search.cli.hostile import TEXTS, command_line
from tests.search.commands import COMMANDS, RayStartsError, ray_starts
from tests.search.made_run import make_run

CASES = 500
SEED = 19


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with what the command lines name, and a home of its own."""
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HOME", str(folder / "home"))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setattr("ray.init", ray_starts)
        # Pictures take a second each, and have tests of their own.
        patch.setattr("search.reporting.files.draw_pictures", lambda findings: [])
        make_run(folder / "run", 2)
        (folder / "folder").mkdir()
        (folder / "file").write_text("budget: 0.1\n")
        yield folder


def check(command, arguments, capsys):
    """Call a command; return its exit status, None where it would start Ray."""
    with contextlib.suppress(RayStartsError):
        try:
            status = COMMANDS[command].main(arguments)
        except SystemExit as ended:
            # Only --help ends so.
            assert ended.code == 0 and any("-h" in argument for argument in arguments)
            status = 0
        said = capsys.readouterr()
        lines = said.err.splitlines()
        assert status in (0, 1, 2)
        assert len(lines) == (status != 0), said.err
        for line in lines:
            assert len(line) <= LINE and line.isprintable(), line
        assert "Traceback" not in said.out
        return status
    capsys.readouterr()
    return None


def test_random_command_lines_end_in_one_line(place, capsys):
    draw = random.Random(SEED)
    ended = []
    for number in range(CASES):
        # A file of settings, as hostile as what is typed.
        (place / "config").write_text(draw.choice(TEXTS), errors="surrogateescape")
        command, arguments = command_line(draw)
        try:
            ended.append(check(command, arguments, capsys))
        except BaseException as error:
            error.add_note(f"case {number}: search.{command} {arguments}")
            raise
    # Most are mistakes; some reach Ray, or the end.
    assert ended.count(2) > CASES / 2
    assert ended.count(None) > CASES / 20


# Nine values of nine values, eleven times: 20 GB once they are written out. The second one is
# multiplied by merging mappings.
BOMBS = (
    "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [{f'*a{i - 1}, ' * 9}]\n" for i in range(1, 12)),
    "a0: &a0 {x: 1}\n"
    + "".join(f"a{i}: &a{i} {{<<: [{f'*a{i - 1}, ' * 9}]}}\n" for i in range(1, 12)),
)
# The address space of the child, in bytes: a few times what it takes to refuse.
ROOM = 3_000_000_000
CHILD = """
import resource, sys
from pathlib import Path

resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), int(sys.argv[1])))
from search.run import main
from spaces.errors import TaskError
from trainables.tasks.config_file import read_config

file = Path(sys.argv[2])
typed = "{" + ", ".join(file.read_text().splitlines()) + "}"
refused = 0
for arguments in (
    ["-c", str(file)],
    ["--cluster", str(file)],
    ["-o", f"task_options={typed}"],
    ["-o", f"runtime_env={typed}"],
):
    refused += main(["--budget", "0.1", *arguments]) == 2
try:
    read_config(file, "PaddleClas", "Arch")
except TaskError as error:
    print(error, file=sys.stderr)
    refused += 1
print(refused)
"""


@pytest.mark.parametrize("bomb", BOMBS, ids=("lists", "merges"))
def test_a_bomb_of_aliases_is_refused_before_it_takes_memory(bomb, tmp_path):
    file = tmp_path / "bomb.yaml"
    file.write_text(bomb)
    ended = subprocess.run(
        [sys.executable, "-c", CHILD, str(ROOM), str(file)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ended.stdout == "5\n", ended.stderr
    lines = ended.stderr.splitlines()
    assert len(lines) == 5
    assert all("20,000 values" in line and len(line) <= LINE for line in lines), lines
