"""An exported model and unlabelled samples, as a task."""

import json
from dataclasses import replace

import numpy as np
import paddle
import pytest
from paddle import nn
from PIL import Image

from spaces.errors import DataError, TaskError
from spaces.plan import QuantizationChoice
from tests.helpers.tiny.mine import Mine
from tests.trainables.compression.networks import IMAGE, Between, Residual
from tests.trainables.tasks.exported.exports import export
from trainables.checking import check_task
from trainables.compression.graph.groups import survey_groups
from trainables.compression.graph.verification import task_samples
from trainables.compression.pruner import ChannelPruner
from trainables.compression.quantization import export_candidate
from trainables.deployment.engines.registry import LISTINGS
from trainables.deployment.export import input_spec
from trainables.evaluation import eager, evaluate, timed_batches
from trainables.models import new_model
from trainables.probe import Effort, NoLease, read_latency, time_in_turn
from trainables.remarks import collected
from trainables.settings import TrialSettings
from trainables.task import ModelInput
from trainables.tasks.exported.program import read_program
from trainables.tasks.exported.task import BATCH, MAP_BATCH, make_task
from trainables.training import Trainer


@pytest.fixture(scope="session")
def tiny_export(shared_folder, tiny_weights):
    """The tiny network's export for any size, with its images as tensors; not shaken, as it is
    trained."""
    folder = shared_folder / "tiny_export"
    task = Mine(tiny_weights)
    model = task.build_model()
    model.eval()
    free = [replace(spec, more_shapes=[(1, 15, 15)]) for spec in task.inputs]
    paddle.jit.save(model, str(folder / "inference"), input_spec=input_spec(free))
    images = [images for images, _ in task.splits.values()]
    np.save(folder / "images.npy", np.concatenate(images))
    return {"model": str(folder), "data": str(folder / "images.npy"), "size": 14}


class Chooses(Residual):
    """The class of each place."""

    def forward(self, x):
        return self.body(x).argmax(1)


class Scaled(nn.Layer):
    """Scores that a second input multiplies."""

    def __init__(self):
        super().__init__()
        self.body = Residual()

    def forward(self, image, factor):
        return self.body(image) * factor


def value(task, model, split="val"):
    return task.metric.aggregate(evaluate(eager(model), task, split, 64))


def test_every_demand_of_the_contract_is_met(tiny_export):
    demands = {demand.name: demand for demand in check_task("exported", tiny_export)}
    assert all(demand.met for demand in demands.values()), demands
    assert "top1_agreement 1.0000" in demands["metric"].said
    assert "the budget bounds the loss of top1_agreement" in demands["loading"].said
    assert "1440 train, 480 val, 480 test" in demands["loading"].said
    assert "2 groups can be pruned" in demands["pruning groups"].said
    assert "int8_ptq runs; int8_qat quantizes 3 of 3" in demands["quantization"].said


def test_a_pruned_model_learns_what_the_original_gives_without_labels(tiny_export):
    task = make_task(**tiny_export)
    assert task.recipe.batch_size == BATCH
    model = new_model(task)
    pruner = ChannelPruner(model, task.inputs)
    pruner.prune(dict.fromkeys(pruner.groups, 0.5))
    before = value(task, model)
    trainer = Trainer(model, task, steps=60, learning_rate=0.05, batch_size=32, seed=0)
    trainer.run(60)
    assert before < 0.5 and value(task, model) > before + 0.25


def test_an_epoch_without_the_originals_outputs_has_the_same_samples(tiny_export):
    task = make_task(**tiny_export)
    pairs = zip(task.train_inputs(32, 1), task.train_batches(32, 1), strict=True)
    assert sum(np.array_equal(one, batch.inputs) for one, batch in pairs) == 1440 // 32


def test_images_with_options(tmp_path):
    paddle.seed(0)
    folder = export(Residual(), IMAGE, tmp_path / "model")
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    options = {"model": str(folder), "data": str(tmp_path), "mean": [0.5], "std": [0.25]}
    task = make_task(**options, batch_size=4, channel_order="BGR")
    (spec,) = task.inputs
    assert (spec.name, spec.shape, spec.channel_order) == ("image", (3, 16, 16), "BGR")
    batch = next(task.eval_batches("val", 8))
    assert batch.inputs[0].min() >= -2 and batch.inputs[0].max() <= 2
    assert batch.targets[0].shape == (3, 4)
    assert value(task, new_model(task)) == 1
    with pytest.raises(TaskError, match=r"mean has 2 values, and input image 3 channels"):
        make_task(**{**options, "mean": [1, 2]})


def test_inputs_of_what_comes_after_the_outputs_are_left_out(tmp_path):
    paddle.seed(0)
    inputs = (*IMAGE, ModelInput("factor", (1,)))
    folder = export(Scaled(), inputs, tmp_path / "model")
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    with pytest.raises(DataError, match=r"does not take one image, but image .*, factor"):
        make_task(str(folder), str(tmp_path))
    (product,) = (o for o in read_program(folder).operations if o.type == "elementwise_mul")
    scores = product.inputs["X"][0]
    task = make_task(str(folder), str(tmp_path), outputs=scores)
    assert [spec.name for spec in task.inputs] == ["image"] and task.inputs[0].image
    assert value(task, new_model(task)) == 1


def test_a_model_with_an_arg_max_at_its_end_keeps_it_and_is_trained_before_it(tmp_path):
    paddle.seed(0)
    folder = export(Chooses(), IMAGE, tmp_path)
    np.save(tmp_path / "d.npy", np.random.default_rng(0).normal(size=(20, 3, 16, 16)).astype("f4"))
    task = make_task(str(folder), str(tmp_path / "d.npy"), batch_size=4)
    assert make_task(str(folder), str(tmp_path / "d.npy")).recipe.batch_size == MAP_BATCH
    model = new_model(task)
    assert task.metric.name == "mean_iou_with_original" and value(task, model) == 1
    model.train()
    batch = next(task.train_batches(4, 0))
    outputs = model(paddle.to_tensor(batch.inputs[0]))
    assert outputs.shape == [4, 8, 16, 16]
    task.loss(outputs, batch.targets).backward()
    assert all(p.grad is not None for p in model.parameters() if not p.stop_gradient)
    model.eval()
    survey = survey_groups(lambda: new_model(task), task.inputs, (), task_samples(task))
    assert survey.groups


@pytest.mark.parametrize("kind", ["onednn", "openvino"])
@pytest.mark.parametrize("choice", [QuantizationChoice.FLOAT, QuantizationChoice.INT8_PTQ])
def test_a_model_is_timed_at_several_sizes_and_exact_at_each(kind, choice, tiny_export, tmp_path):
    for package in LISTINGS[kind].packages:
        pytest.importorskip(package)
    with collected() as said:
        task = make_task(**{**tiny_export, "size": [[14, 14], [84, 112]]})
    assert said[0].startswith("latency ratios are means over the sizes 14 x 14, 84 x 112;")
    (spec,) = task.inputs
    assert (spec.shape, spec.exported_shape) == ((1, 14, 14), (1, None, None))
    settings = TrialSettings(
        run_folder=str(tmp_path), cache_folder=str(tmp_path), calibration_samples=64, engine=kind
    )
    engine, difference = export_candidate(
        *(new_model(task), choice, None, task, settings, tmp_path / "model")
    )
    # Its largest one, on samples at both sizes.
    assert difference < (1e-5 if choice is QuantizationChoice.FLOAT else 0.5)
    batches = timed_batches(task, 8)
    assert [inputs[0].shape for inputs in batches] == [(8, 1, 14, 14), (8, 1, 84, 112)]
    runs_ms = time_in_turn([engine, engine], batches, NoLease(), Effort(10, 1.0))
    small, large = np.median(runs_ms[:, 0], axis=0)
    assert large > 2 * small
    reading = read_latency(runs_ms, [[1.0, 1.0]], baseline_ms=1.0, batch_size=8, threads=1)
    assert len(reading.ratios) == 2 and 0.5 < reading.ratio < 2


def test_a_model_whose_reshapes_were_written_for_one_image(tmp_path):
    paddle.seed(0)
    model = Between(lambda x: x.reshape([1, 8 * 16 * 16]).reshape([1, 8, 16, 16]))
    model.eval()
    one = [paddle.static.InputSpec([1, 3, 16, 16], "float32", "image")]
    paddle.jit.save(model, str(tmp_path / "inference"), input_spec=one)
    np.save(tmp_path / "d.npy", np.random.default_rng(0).normal(size=(20, 3, 16, 16)).astype("f4"))
    task = make_task(str(tmp_path), str(tmp_path / "d.npy"))
    assert next(task.eval_batches("val", 3)).targets[0].shape == (3, 4)
    assert value(task, new_model(task)) == 1


def test_what_is_said_of_the_metric_and_of_the_split(tiny_export):
    with collected() as said:
        make_task(**tiny_export, kind="values")
    assert "one_minus_relative_error" in said[0] and "split by their content" in said[1]


def test_refusals(tiny_export, tmp_path):
    with pytest.raises(TaskError, match="is missing; name a folder of images"):
        make_task(tiny_export["model"], str(tmp_path / "none"))
    with pytest.raises(TaskError, match="is no tensor of"):
        make_task(**tiny_export, outputs=["other"])
    model = Between(lambda x: paddle.linalg.qr(x)[0] + x)
    np.save(tmp_path / "d.npy", np.random.default_rng(0).normal(size=(9, 3, 16, 16)).astype("f4"))
    folder = str(export(model, IMAGE, tmp_path / "m"))
    with pytest.raises(TaskError, match="operator qr is not supported"):
        make_task(folder, str(tmp_path / "d.npy"))


def arguments(options):
    return ("--task", "exported", "-o", f"task_options={json.dumps(options)}")


@pytest.mark.slow
def test_the_groups_of_an_export(local_workplace, tiny_export):
    listed = local_workplace.run("groups", *arguments(tiny_export), module="search.apply")
    assert listed.returncode == 0 and "2 groups" in listed.stdout, listed.stderr


@pytest.mark.slow
def test_a_whole_search(local_workplace, tiny_export):
    """From the export alone to a delivered model that agrees with it."""
    run = local_workplace.folder / "exported"
    sizes = {"size": [[14, 14], [21, 28]]}
    few = {"finetune_samples": 320, "qat_samples": 96, "retrain_samples": 640}
    ended = local_workplace.run(
        *("--budget", "0.1", *arguments({**tiny_export, **sizes})),
        *("--trials", "3", "--out", str(run)),
        **few,
        retrain_qat_samples=96,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "the budget bounds the loss of top1_agreement" in ended.stdout + ended.stderr
    manifest = json.loads((run / "manifest.json").read_text())
    assert "top1_agreement" in json.dumps(manifest)
    assert manifest["input"]["shape"] == [None, 1, 14, 14]
    assert manifest["input"]["more_shapes"] == [[None, 1, 21, 28]]
    latency = manifest["latency_ms"]
    assert len(set(latency["ratios"])) == 2
    assert latency["ratio"] == pytest.approx(np.mean(latency["ratios"]))
    assert "latency ratio at 1 x 21 x 28" in (run / "report.html").read_text()
    assert "latency ratios by size, of which it is the mean" in ended.stdout
