"""A Python that finds some packages only, as in an environment without any other."""

import subprocess
import sys
from importlib.metadata import distribution

from packaging.requirements import Requirement


def with_dependencies(*names):
    """Return distributions and all that they declare to need, by name."""
    found = {}
    wanted = list(names)
    while wanted:
        name = wanted.pop()
        if name.lower() not in found:
            found[name.lower()] = distribution(name)
            needs = map(Requirement, found[name.lower()].requires or ())
            without_extra = {"extra": ""}
            wanted += [n.name for n in needs if not n.marker or n.marker.evaluate(without_extra)]
    return found


def link_packages(folder, *names):
    """Fill a folder with links to distributions and to those that they need."""
    for one in with_dependencies(*names).values():
        for top in {file.parts[0] for file in one.files if file.parts[0] != ".."}:
            link = folder / top
            if top != "__pycache__" and not link.is_symlink():
                link.symlink_to(one.locate_file(top))
    return folder


def run_isolated(packages, code, *arguments):
    """Run code in a Python that finds the standard library and a folder of packages."""
    # -I: neither PYTHONPATH nor the working folder; -S: no site-packages.
    found = f"import sys; sys.path.append({str(packages)!r})\n"
    # Sets what Paddle reads, and what Python itself sets without -S.
    found += "import site; site.getusersitepackages()\n"
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", found + code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
