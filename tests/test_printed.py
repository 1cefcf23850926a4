"""Every command that a page or a file of clusters/ prints is run by a test, or cannot be here."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.helpers.printed import FOLDER, NOT_HERE, RUN_BY, every_command

TESTS = Path(__file__).parent
# In a profile's head: the part of a command that two lines add to it.
ARGUMENTS = "--build-arg"


def beginnings(command):
    """Return the entries of both lists that a command begins with."""
    return [start for start in (*RUN_BY, *NOT_HERE) if f"{command} ".startswith(f"{start} ")]


def test_a_new_command_cannot_be_forgotten():
    unlisted = [c for c in every_command() if not beginnings(c) and not c.startswith(ARGUMENTS)]
    assert unlisted == [], "name the test that runs it in tests/helpers/printed.py, or why none can"


def test_each_entry_is_of_a_command():
    known = [start for command in every_command() for start in beginnings(command)]
    assert set(RUN_BY) | set(NOT_HERE) == set(known)
    assert not set(RUN_BY) & set(NOT_HERE)


@pytest.mark.parametrize("test", sorted(set(RUN_BY.values())))
def test_each_test_that_is_named_is_there(test):
    file, name = test.split("::")
    assert re.search(rf"^def {name}\w*\(", (TESTS / file).read_text(), re.MULTILINE), test


def test_make_run_ends_with_the_first_command_of_the_guides():
    """And both printed ways to install the toolkits are one."""
    said = subprocess.run(
        ["make", "--dry-run", "run", "VENV=elsewhere"],
        cwd=FOLDER.parent,
        # The tests' own make is none of this one's.
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert said[-1] == "elsewhere/bin/python -m search.run --budget 0.1"
    assert any("pip install" in line and "--no-deps -r toolkits.txt" in line for line in said)
