"""Commands as the README, the profiles and the launchers' files print them."""

import re
from pathlib import Path

import clusters

FOLDER = Path(clusters.__file__).parent


def joined(lines):
    """Return lines of a shell, a line that ends in a backslash with the next one."""
    return "\n".join(lines).replace("\\\n", "")


def printed(name):
    """Return the commands in the head of a file of clusters/, an entry a paragraph of them."""
    paragraphs, current = [], []
    for line in (FOLDER / name).read_text().splitlines():
        if not line.startswith("#"):
            break
        if line.startswith("#   "):
            current.append(line[4:])
        elif current:
            paragraphs.append(joined(current))
            current = []
    return [*paragraphs, joined(current)] if current else paragraphs


def readme(section):
    """Return the commands of a section of the README, an entry a line of them."""
    text = Path("README.md").read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in joined(block.splitlines()).splitlines()]


def filled(command, **values):
    """Return a command with its placeholders replaced; each has to be in it."""
    for placeholder, value in values.items():
        assert placeholder in command, (placeholder, command)
        command = command.replace(placeholder, value)
    return command
