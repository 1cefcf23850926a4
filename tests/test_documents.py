"""What README, the guides and the other pages point to is there."""

import re
from pathlib import Path

import pytest

from tests.log_index import LOG, PACKAGES, references, titles, with_index

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"
# Pages about how things are now. The log and the changelog also name files of earlier versions.
CURRENT = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
PAGES = [*CURRENT, REPOSITORY / "LOG.md", REPOSITORY / "CHANGELOG.md"]
LONGEST_README = 150


def name_of(page):
    return str(page.relative_to(REPOSITORY))


def prose(page):
    """Return a page's text without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def anchors(page):
    """Return the anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_is_linked_is_there(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", CURRENT, ids=name_of)
def test_each_path_of_the_repository_is_there(page):
    folders = {path.name for path in REPOSITORY.iterdir() if path.is_dir()}
    for path in re.findall(r"`(\w[\w./-]*/[\w./-]*)`", prose(page)):
        if path.partition("/")[0] in folders:
            assert (REPOSITORY / path).exists(), path


def test_each_file_of_the_tree_is_there():
    """A line without indent names a package; one indented by two begins with what is in it."""
    text = (DOCS / "architecture.md").read_text()
    (tree,) = re.findall(r"^```text\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    files = {path.name for path in REPOSITORY.glob("*/**/*.py")}
    package = REPOSITORY
    for line in tree.splitlines():
        if not line.startswith(" "):
            package = REPOSITORY / line.split()[0]
            assert package.is_dir(), line
            continue
        names = re.match(r"  (\S+(?: \S+\.py| \S+/)*) ", line)
        for name in names[1].split() if names else ():
            assert (package / name).exists(), line
        assert set(re.findall(r"\w+\.py\b", line)) <= files, line


def test_the_readme_is_short():
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= LONGEST_README


def test_each_entry_of_the_log_that_code_names_is_there():
    known = titles()
    assert len(set(known)) == len(known)
    assert {title for title, *_ in references()} <= set(known)
    for package in PACKAGES:
        for path in (REPOSITORY / package).rglob("*.py"):
            assert "(LOG.md)" not in path.read_text(), f"{path} names no entry"


def test_the_index_of_the_log_is_what_the_code_says():
    assert LOG.read_text() == with_index(LOG.read_text()), "run python -m tests.log_index"


def test_the_newest_entry_of_the_log_is_first():
    days = re.findall(r"^## (\d{4}-\d\d-\d\d): ", LOG.read_text(), re.MULTILINE)
    assert days == sorted(days, reverse=True)
