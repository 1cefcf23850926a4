"""python -m tests.log_index: write LOG.md's index, from what in the code to the entry it names.

Code names an entry by its title: (LOG: a third reference).
"""

import ast
import io
import re
import tokenize
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
LOG = REPOSITORY / "LOG.md"
PACKAGES = ("search", "trainables", "spaces", "clusters", "benchmarks")
BEGIN, END = "<!-- index -->", "<!-- end of index -->"


def titles():
    """Return the titles of the entries, in their order."""
    return re.findall(r"^## \d{4}-\d\d-\d\d: (.*)$", LOG.read_text(), re.MULTILINE)


def named(text):
    """Return the titles that a comment or docstring names."""
    words = " ".join(re.sub(r"\n\s*# ?", " ", text).split())
    return re.findall(r"\(LOG: ([^)]+)\)", words)


def comments(source):
    """Yield first line, last line and text of each block of comments, or comment after code."""
    block = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            alone = not token.line[: token.start[1]].strip()
            if block and not (alone and token.start[0] == block[-1][0] + 1):
                yield block[0][0], block[-1][0], "\n".join(text for _, text in block)
                block = []
            block.append((token.start[0], token.string))
    if block:
        yield block[0][0], block[-1][0], "\n".join(text for _, text in block)


def definitions(body, prefix=""):
    """Yield name, first line, last line and docstring of all that a module or class defines."""
    for statement, after in zip(body, [*body[1:], None], strict=True):
        match statement:
            case ast.FunctionDef(name=name):
                text = ast.get_docstring(statement, clean=False)
            case ast.ClassDef(name=name):
                text = ast.get_docstring(statement, clean=False)
                yield from definitions(statement.body, f"{prefix}{name}.")
            case ast.Assign(targets=[target]) | ast.AnnAssign(target=target):
                name, text = ast.unparse(target), None
                if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                    text = str(after.value.value)
            case _:
                continue
        yield f"{prefix}{name}", statement.lineno, statement.end_lineno, text or ""


def references():
    """Return a (title, file, name) for each entry that something in the code names."""
    found = set()
    for path in (path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py")):
        source = path.read_text()
        if "LOG: " not in source:
            continue
        file = str(path.relative_to(REPOSITORY))
        module = ast.parse(source)
        known = sorted(definitions(module.body), key=lambda one: one[1])
        found |= {(title, file, "") for title in named(ast.get_docstring(module) or "")}
        for name, _, _, text in known:
            found |= {(title, file, name) for title in named(text)}
        for first, last, text in comments(source):
            around = [name for name, begin, end, _ in known if begin <= first <= end]
            below = [name for name, begin, _, _ in known if begin > last]
            # The innermost that it is in; within a class, what comes next.
            classes = {name.rpartition(".")[0] for name, *_ in known}
            name = around[-1] if around and around[-1] not in classes else (below or [""])[0]
            found |= {(title, file, name) for title in named(text)}
    return sorted(found)


def index():
    """Return the lines of the index."""
    lines = ["| in the code | entry |", "| --- | --- |"]
    rows = sorted((file, name, title) for title, file, name in references())
    lines += [f"| `{file}`{f' `{name}`' if name else ''} | {title} |" for file, name, title in rows]
    return lines


def with_index(text):
    """Return the log's text with today's index between its marks."""
    before, _, rest = text.partition(f"{BEGIN}\n")
    _, _, after = rest.partition(END)
    return "\n".join([f"{before}{BEGIN}", *index(), f"{END}{after}"])


if __name__ == "__main__":
    LOG.write_text(with_index(LOG.read_text()))
