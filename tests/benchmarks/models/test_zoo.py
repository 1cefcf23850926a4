"""The models of the toolkits' pruning pages and their configuration files."""

from pathlib import Path

import pytest

from benchmarks.models.zoo import CASES
from benchmarks.sweep.reading import read

TASKS = {
    "classification": "classification",
    "segmentation": "paddleseg",
    "detection": "paddledetection",
    "text": "paddleocr",
}


@pytest.mark.parametrize("name", CASES)
def test_a_models_options_are_those_of_its_familys_task(name, tmp_path):
    case = CASES[name]
    assert case.task == TASKS[case.family]
    data = tmp_path / "data" / case.family
    data.mkdir(parents=True)
    options = case.task_options(tmp_path)
    assert Path(options["weights"]).parent == tmp_path / "weights"
    if case.family == "classification":
        assert (options["model"], options["data"]) == (case.model, str(data))
        return
    config = read(Path(options["config_file"]))
    if case.family == "segmentation":
        assert config["train_dataset"]["dataset_root"] == str(data)
        assert len(config["loss"]["types"]) == len(config["loss"]["coef"]) == case.heads
    elif case.family == "detection":
        assert config["TrainDataset"]["dataset_dir"] == str(data)
        assert config["TrainReader"]["batch_size"] == case.training.batch
    else:
        assert config["Train"]["dataset"]["data_dir"] == str(data)
