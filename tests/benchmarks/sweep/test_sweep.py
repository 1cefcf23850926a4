"""A sweep over a small checkout: loading, refusals, crashes and resuming."""

import json
import os
import signal
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from PIL import Image

from benchmarks.sweep import drawing, isolated, painting
from benchmarks.sweep.__main__ import files_of, known, row_file, row_like, write_row
from benchmarks.sweep.isolated import try_file
from benchmarks.sweep.reading import read
from benchmarks.sweep.stages import Row, run_file
from benchmarks.sweep.summary import counts, page, plain

CLASSIFIER = """
Arch: {name: %s, class_num: 4}
Loss: {Train: [{CELoss: {weight: 1.0}}]}
DataLoader:
  Train:
    dataset: {name: ImageNetDataset, image_root: ./dataset/, cls_label_path: ./dataset/train.txt,
      transform_ops: [{DecodeImage: {to_rgb: true}}, {RandCropImage: {size: 32}}]}
    sampler: {batch_size: 2}
  Eval:
    dataset: {name: ImageNetDataset, image_root: ./dataset/, cls_label_path: ./dataset/val.txt,
      transform_ops: [{DecodeImage: {to_rgb: true}}, {ResizeImage: {resize_short: 36}},
        {CropImage: {size: 32}}, {NormalizeImage: {scale: 1.0/255.0}}, {ToCHWImage: }]}
"""


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / "PaddleClas/ppcls/configs/ImageNet"
    folder.mkdir(parents=True)
    (folder / "good.yaml").write_text(CLASSIFIER % "MobileNetV1")
    (folder / "unknown.yaml").write_text((CLASSIFIER % "MobileNetV1").replace("CELoss", "Odd"))
    return tmp_path


def attempt(checkout, name, until="load", limit_s=1200.0):
    file = checkout / "PaddleClas" / name
    return try_file("PaddleClas", file, name, until, limit_s, 8.0)


@pytest.mark.slow
def test_a_file_passes_its_stages_or_is_refused_with_a_reason(checkout):
    good = attempt(checkout, "ppcls/configs/ImageNet/good.yaml", "build")
    assert (good.reached, good.network, good.refused, good.failed) == (
        *("build", "MobileNetV1"),
        *(None, None),
    )
    refused = attempt(checkout, "ppcls/configs/ImageNet/unknown.yaml")
    assert refused.reached is None and "Odd" in refused.refused and refused.failed is None


@pytest.mark.parametrize("toolkit", isolated.MODULES)
def test_the_fork_server_finds_what_it_is_to_import(toolkit):
    """It passes over what it does not find, and each file then imports the toolkit."""
    pytest.importorskip(isolated.MODULES[toolkit][0].partition(".")[0])
    assert all(find_spec(module) for module in isolated.MODULES[toolkit])


def _dies(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)


def _hangs(*arguments):
    signal.pause()


@pytest.mark.parametrize(
    ("target", "limit_s", "said"),
    [(_dies, 1200.0, "ended with -9"), (_hangs, 1.0, "longer than 1")],
)
def test_a_crash_or_a_hang_fails_only_its_file(monkeypatch, checkout, target, limit_s, said):
    monkeypatch.setattr("benchmarks.sweep.isolated._enter", target)
    row = attempt(checkout, "ppcls/configs/ImageNet/good.yaml", limit_s=limit_s)
    assert said in row.failed and row.reached is None


def test_rows_are_found_again(checkout, tmp_path):
    names = [name for _, name in files_of(checkout, "PaddleClas")]
    assert names == [f"ppcls/configs/ImageNet/{n}.yaml" for n in ("good", "unknown")]
    file = row_file(tmp_path, "PaddleClas", names[0])
    assert not known(file, "load")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(Row("PaddleClas", names[0], reached="load").to_json()))
    assert known(file, "load") and not known(file, "build")
    file.write_text(json.dumps(Row("PaddleClas", names[0], refused="no").to_json()))
    assert known(file, "trial")


def test_bases_and_tags_are_read(tmp_path):
    (tmp_path / "base.yml").write_text(
        "a: {x: 1, y: 2}\nTrainDataset: !COCODataSet {dataset_dir: d}"
    )
    (tmp_path / "own.yml").write_text("_BASE_: [base.yml]\na: {y: 3}")
    assert read(tmp_path / "own.yml") == {
        "a": {"x": 1, "y": 3},
        "TrainDataset": {"name": "COCODataSet", "dataset_dir": "d"},
    }


def test_of_data_outside_the_current_folder_the_program_says_that_it_is_missing(
    checkout, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    file = checkout / "PaddleClas/ppcls/configs/ImageNet/good.yaml"
    file.write_text(file.read_text().replace("./dataset/", "/elsewhere/"))
    rows = []
    run_file("PaddleClas", file, "good.yaml", "load", rows.append)
    assert "/elsewhere/" in rows[-1].refused and "cannot be read" in rows[-1].refused
    assert rows[-1].failed is None


def test_nothing_is_drawn_outside_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(drawing.OutsideError, match="leads out"):
        drawing.segmentation({"train_dataset": {"type": "Dataset", "dataset_root": "/elsewhere"}})
    drawing.segmentation({"train_dataset": {"type": "Cityscapes", "dataset_root": "data/c"}})
    labels = sorted((tmp_path / "data/c/gtFine/train/drawn").glob("*_labelTrainIds.png"))
    assert len(labels) == painting.FEW.images
    assert set(np.unique(Image.open(labels[0]))) == set(range(painting.CLASSES))


def test_the_tables_count_what_they_say():
    rows = [
        Row("PaddleSeg", "a.yml", reached="trial", groups=2, int8="").to_json(),
        Row("PaddleSeg", "b.yml", reached="trial", groups=2, int8="OSError: x").to_json(),
        Row("PaddleSeg", "c.yml", reached="groups", groups=0).to_json(),
        Row("PaddleSeg", "d.yml", reached="groups", groups=1, failed="ValueError: x").to_json(),
        Row("PaddleSeg", "e.yml", refused="config_file a/b.yml: no | such").to_json(),
        Row("PaddleSeg", "f.yml", failed="KeyError: y").to_json(),
    ]
    assert counts("PaddleSeg", rows) == "| PaddleSeg | 6 | 4 | 1 | 1 | 4 | 3 of 4 | 2 | 3 | 1 |"
    built = [Row("PaddleSeg", "a.yml", reached="build").to_json()]
    assert counts("PaddleSeg", built) == "| PaddleSeg | 1 | 1 | 0 | 0 | 1 | - | - | - | - |"
    assert counts("PaddleSeg", rows[2:3]).endswith("| 1 | 0 of 1 | - | - | - |")
    text = page(rows)
    assert "| PaddleSeg | 1 | no \\| such |" in text
    assert "| d.yml | groups | ValueError: x |" in text
    assert plain("config_file x.yml: data/a/b.txt is missing") == "FILE is missing"


def test_files_with_the_same_network_share_a_trial(tmp_path):
    checkout, work = tmp_path / "PaddleSeg", tmp_path / "work"
    checkout.mkdir()
    text = "model: {{type: UNet, num_classes: {classes}, deconv: {deconv}}}\niters: {iters}"
    for name, values in (
        ("a.yml", (19, False, 10)),
        ("b.yml", (21, False, 80)),
        ("c.yml", (19, True, 10)),
    ):
        named = dict(zip(("classes", "deconv", "iters"), values, strict=True))
        (checkout / name).write_text(text.format(**named))
        write_row(row_file(work, "PaddleSeg", name), Row("PaddleSeg", name, reached="build"))
    tried = Row("PaddleSeg", "a.yml", reached="trial", groups=3, branches=2, int8="")
    write_row(row_file(work, "PaddleSeg", "a.yml"), tried)

    def like(name):
        return row_like(work, "PaddleSeg", checkout / name, row_file(work, "PaddleSeg", name))

    assert like("b.yml") == replace(tried, file="b.yml", like="a.yml")
    assert like("c.yml") is None
    write_row(row_file(work, "PaddleSeg", "b.yml"), Row("PaddleSeg", "b.yml", failed="it fails"))
    assert like("b.yml") is None, "a file that is not built has its own row"
