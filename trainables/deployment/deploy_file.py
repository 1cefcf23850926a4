"""deploy.py of a delivered model: it loads the model on its engine and runs it on one sample.

It is made of the code that evaluated the model, without what other models need: the functions that
prepare images (trainables/data/preparing.py), specialized for the model's steps, and the loader of
its engine (trainables/deployment/engines/loaders.py).
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import cast

from trainables.data import preparing
from trainables.data.image_input import Normalize, Preparation, Resize, Step
from trainables.deployment.engines import loaders
from trainables.deployment.engines.registry import LocalKind
from trainables.deployment.specialize import Program, plain
from trainables.task import ModelInput

DEPLOY_FILE = "deploy.py"
# What is read from the manifest when the file is run.
NUMBERS = {f"spec.{name}": f'INPUT["{name}"]' for name in ("scale", "mean", "std", "dtype")}
# Packages whose module has another name. Paddle needs setuptools and does not say so.
PACKAGES = {"PIL": "pillow", "cv2": "opencv-python", "paddle": "paddlepaddle setuptools"}
# Channels of an image whose task does not say how it is prepared.
GREY_OR_COLOUR = (1, 3)
# Columns of a line: those of our own code.
WIDTH = 100
# Modules that the functions may use, of the standard library.
STANDARD = ("io", "math")

TEXT = '''"""Run this folder's model on one sample: python {file} {words}

{about}
It needs: pip install {packages}
"""

{imports}

FOLDER = Path(__file__).resolve().parent
MANIFEST = json.loads((FOLDER.parent / "manifest.json").read_text())
INPUT = MANIFEST["input"]


{functions}


if __name__ == "__main__":
    if len(sys.argv) != {arguments}:
        sys.exit("usage: python {file} {words}")
    run = load(FOLDER, MANIFEST)
    samples = {samples}
    for output in run([sample[None] for sample in samples]):
        print("output", *output.shape)
        if output.ndim == 2:
            for label in np.argsort(-output[0])[:5]:
                print(f"class {{label}}: {{output[0, label]:.4g}}")
'''


def preparation(spec: ModelInput) -> Preparation | None:
    """Return the steps from an image file to an input, None if it is not made of pixels.

    An image whose task says what its pixels become, but no steps, is resized as a whole.
    """
    if spec.image is not None:
        return spec.image
    is_image = len(spec.shape) == 3 and spec.shape[0] in GREY_OR_COLOUR
    if not is_image or (spec.scale, {*spec.mean}, {*spec.std}) == (1.0, {0.0}, {1.0}):
        return None
    return Preparation((Resize(height=spec.shape[1], width=spec.shape[2]), Normalize()))


def deploy_source(kind: LocalKind, inputs: Sequence[ModelInput]) -> str | None:
    """Return the file's text for an engine; None for engines on GPUs, which have no loader.

    It takes the path of an image, if the first input is one; of other inputs that of a .npy file
    each: the values that the model is given, without the batch axis.
    """
    if kind not in loaders.LOADERS:
        return None
    first, *more = inputs
    functions: list[ast.FunctionDef] = []
    # Names come from exported models of anyone: none may end a string of the file.
    words = [re.sub(r"[^\w.-]", "_", f"{spec.name}.npy") for spec in inputs]
    about = "It takes the model's own values."
    samples = "[np.load(file) for file in sys.argv[1:]]"
    if (how := preparation(first)) is not None:
        words[0], about = "IMAGE", "It prepares the image as for the evaluation of the model."
        samples = "[prepare(decoded(Path(sys.argv[1])))]"
        if more:
            samples = f"{samples[:-1]}, *map(np.load, sys.argv[2:])]"
        program = Program(preparing, NUMBERS, _comment)
        program.specialized("decoded", {"how": how, "channels": first.shape[0]})
        program.specialized("prepare", {"spec": replace(first, image=how)})
        functions = program.functions("decoded", "prepare")
    functions.append(_loader(kind))
    imports = _imports(functions)
    return TEXT.format(
        file=DEPLOY_FILE,
        words=" ".join(words),
        arguments=1 + len(words),
        about=about,
        packages=" ".join(_packages(imports)),
        imports=_grouped(imports),
        functions="\n\n\n".join(map(_written, functions)),
        samples=samples,
    )


def _comment(step: object) -> str:
    """Return a step in words: what is not the default."""
    told = {f.name: f.default for f in fields(cast("Step", step))}
    values = {name: getattr(step, name) for name in told}
    words = [f"{n}={v}" for n, v in values.items() if n != "step" and v != told[n]]
    return ": ".join(filter(None, (str(values["step"]), ", ".join(words))))


def _loader(kind: LocalKind) -> ast.FunctionDef:
    (found,) = ast.parse(inspect.getsource(loaders.LOADERS[kind])).body
    assert isinstance(found, ast.FunctionDef)
    found.name = "load"
    return plain(found)


def _imports(functions: Iterable[ast.FunctionDef]) -> dict[str, set[str]]:
    """Take the imports out of functions; return them all, for each module the names from it."""
    found: dict[str, set[str]] = {"json": set(), "sys": set(), "numpy": set(), "pathlib": {"Path"}}
    used: set[str] = set()
    for function in functions:
        for node in function.body:
            if isinstance(node, ast.Import):
                found |= {alias.name: set() for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.setdefault(node.module, set()).update(alias.name for alias in node.names)
        function.body = [n for n in function.body if not isinstance(n, ast.Import | ast.ImportFrom)]
        used |= {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    return found | {name: set() for name in STANDARD if name in used}


def _packages(imports: Iterable[str]) -> list[str]:
    """Return the packages that have to be installed."""
    modules = {name.partition(".")[0] for name in imports} - sys.stdlib_module_names
    return sorted(PACKAGES.get(name, name) for name in modules)


def _grouped(imports: Mapping[str, set[str]]) -> str:
    """Return import statements, those of the standard library first."""

    def line(module: str) -> str:
        names = ", ".join(sorted(imports[module]))
        as_usual = " as np" if module == "numpy" else ""
        return f"from {module} import {names}" if names else f"import {module}{as_usual}"

    groups: tuple[list[str], list[str]] = ([], [])
    for module in sorted(imports, key=lambda name: (bool(imports[name]), name)):
        groups[module.partition(".")[0] not in sys.stdlib_module_names].append(line(module))
    return "\n\n".join("\n".join(group) for group in groups)


def _commented(found: re.Match[str]) -> str:
    begin = f"{found[1]}# "
    return "\n" + textwrap.fill(found[2], WIDTH, initial_indent=begin, subsequent_indent=begin)


def _written(function: ast.FunctionDef) -> str:
    """Return a function's text, with double quotes and without needless parentheses."""
    text = ast.unparse(ast.fix_missing_locations(function)) + "\n"
    for node in ast.walk(function):
        if isinstance(node, ast.Return | ast.Assign) and isinstance(node.value, ast.Tuple):
            value = ast.unparse(node.value)
            text = text.replace(f" {value}\n", f" {value[1:-1]}\n")
    text = re.sub(r"\n( +)'# (.*)'(?=\n)", _commented, text)
    lines = [line if '"' in line else line.replace("'", '"') for line in text.splitlines()]
    # Behind a function within it.
    return re.sub(r"(\n    def .*(?:\n {8}.*)+)\n", r"\1\n\n", "\n".join(lines))
