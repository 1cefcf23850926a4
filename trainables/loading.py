"""Loads a task by its name; errors say what is wrong with it."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import platform
from collections.abc import Mapping
from typing import Any

from spaces.errors import SearchError, TaskError, UserError, one_line
from trainables.files import task_folder
from trainables.files.node import RunFiles
from trainables.settings import INPUTS, TrialSettings
from trainables.task import Task

BUILT_IN = {
    "classification": "trainables.tasks.classification:make_task",
    "exported": "trainables.tasks.exported.task:make_task",
    "fashion_mnist": "trainables.tasks.fashion_mnist.task:make_task",
    "paddleclas": "trainables.tasks.paddleclas.task:make_task",
    "paddledetection": "trainables.tasks.paddledetection.task:make_task",
    "paddleocr": "trainables.tasks.paddleocr.task:make_task",
    "paddleseg": "trainables.tasks.paddleseg.task:make_task",
}
DEMANDS = (
    "name",
    "inputs",
    "metric",
    "recipe",
    "protected_layers",
    "build_model",
    "train_batches",
    "eval_batches",
    "loss",
)


def resolve(spec: str) -> tuple[str, str]:
    """Return the module and attribute of a task. Imports the module's parents only.

    Raises TaskError if the name is unknown or the module cannot be found.
    """
    name = BUILT_IN.get(spec, spec)
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise TaskError(
            f"task {spec!r} is unknown; give one of {', '.join(sorted(BUILT_IN))}, "
            'or your own as "module:attribute"'
        )
    try:
        found = None if module.startswith(".") else importlib.util.find_spec(module)
    except (ModuleNotFoundError, ValueError):
        found = None
    except (Exception, SystemExit) as error:
        raise TaskError(
            f"task {spec!r}: importing the package of {module} fails with "
            f"{one_line(error)}; correct it"
        ) from error
    if found is None:
        raise TaskError(
            f"task {spec!r}: there is no module {module!r}; run from the folder that holds it, "
            "or install it"
        )
    return module, attribute


def load_task(spec: str, options: Mapping[str, Any] | None = None) -> Task:
    """Return the task of a built-in name or "module:attribute".

    `options` are the keyword arguments of its factory. Raises TaskError, in one line, if the task
    cannot be made or lacks a demand of the contract; WeightsError passes through.
    """
    module_name, attribute = resolve(spec)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise TaskError(
            f"task {spec!r}: importing {module_name} fails with {one_line(error)}; correct it"
        ) from error
    factory = getattr(module, attribute, None)
    if not callable(factory):
        raise TaskError(
            f"task {spec!r}: {module_name} has no function {attribute!r}; "
            "name one that returns the task"
        )
    try:
        inspect.signature(factory).bind(**(options or {}))
    except TypeError as error:
        given = ", ".join(options or {}) or "no options"
        taken = ", ".join(inspect.signature(factory).parameters) or "none"
        raise TaskError(
            f"task {spec!r}: {attribute}() does not take {given} ({error}); its options are {taken}"
        ) from error
    try:
        task = factory(**(options or {}))
    except SearchError:
        raise
    except (Exception, SystemExit) as error:
        raise TaskError(f"task {spec!r}: {attribute}() fails with {one_line(error)}") from error
    missing = [demand for demand in DEMANDS if not hasattr(task, demand)]
    if missing:
        raise TaskError(
            f"task {spec!r}: {type(task).__name__} lacks {', '.join(missing)}; "
            "the contract is trainables.task.Task"
        )
    return task


def study_task(settings: TrialSettings, files: RunFiles | None = None) -> Task:
    """Return a study's task on this node, loaded in the task's folder with its shipped files.

    Raises as `load_task`; the message says if the task's folder is not on this node.
    """
    options = dict(settings.task_options)
    for option, name in settings.shipped.items():
        if files is not None:
            files.fetch(settings.folder, f"{INPUTS}/{option}")
        options[option] = str(settings.folder / name)
    task_folder.enter(settings)
    try:
        return load_task(settings.task, options)
    except UserError as error:
        if settings.task_folder is None or task_folder.locate(settings) is not None:
            raise
        raise TaskError(
            f"{str(error)[:180]}; folder {settings.task_folder}, the base of relative paths, "
            f"is not on node {platform.node()}"
        ) from error
