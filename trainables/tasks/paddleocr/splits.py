"""What a configuration says of its data: the samples of each split, and the batches of training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from spaces.errors import TaskError
from trainables.data.problems import Problems
from trainables.data.splitting import halves, remark_split
from trainables.task import Split, TrainingRecipe
from trainables.tasks.config_file import section

Sample = TypeVar("Sample")
Reader = Callable[[Path, Path, Problems], list[Sample]]
"""Returns the samples of a label file, whose paths are relative to a folder."""

# The data set of images and label files.
READABLE = "SimpleDataSet"
# Where a file names none. A guess.
BATCH_SIZE = 8


def training_recipe(config: Mapping[str, Any]) -> TrainingRecipe:
    """Return the recipe with the batch size of Train."""
    given = section(config, "Train", "loader").get("batch_size_per_card", BATCH_SIZE)
    return TrainingRecipe(batch_size=int(given))


def read_splits(
    config: Mapping[str, Any], read: Reader[Sample], problems: Problems
) -> dict[Split, list[Sample]]:
    """Return the samples of Train, Eval and Test; without Test, half of Eval is the test split.

    Raises TaskError for a data set that is not named as images and label files.
    """
    train, held_out = (_read(config, key, read, problems) for key in ("Train", "Eval"))
    if "Test" in config:
        return {"train": train, "val": held_out, "test": _read(config, "Test", read, problems)}
    val, test = ([held_out[index] for index in half] for half in halves([None] * len(held_out)))
    remark_split("Eval", val, test, "at random with a fixed seed")
    return {"train": train, "val": val, "test": test}


def _read(
    config: Mapping[str, Any], key: str, read: Reader[Sample], problems: Problems
) -> list[Sample]:
    dataset = section(config, key, "dataset")
    name = dataset.get("name", READABLE)
    if name != READABLE:
        raise TaskError(
            f"{key}.dataset {name!r} cannot be read; write its images and a Label.txt, and name "
            f"{READABLE} with data_dir and label_file_list"
        )
    files = dataset.get("label_file_list") or []
    if not files or "data_dir" not in dataset:
        raise TaskError(f"{key}.dataset needs data_dir and label_file_list; give both")
    root = Path(dataset["data_dir"])
    files = [files] if isinstance(files, str) else files
    return [sample for file in files for sample in read(Path(file), root, problems)]
