import importlib.util
import shutil

import numpy as np
import paddle
import pytest
from PIL import Image

from spaces.errors import DataError, TaskError
from trainables.checking import check_task
from trainables.deployment.engines.paddle_inference import PaddleEngine
from trainables.deployment.export import export_float
from trainables.remarks import collected
from trainables.tasks.classification import build_network, make_task

SIDE = 32


@pytest.fixture
def weights(tmp_path):
    paddle.seed(0)
    paddle.save(build_network("mobilenet_v2", 2).state_dict(), str(tmp_path / "w.pdparams"))
    return str(tmp_path / "w.pdparams")


def picture(path, red):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 60, (40, 50, 3), dtype=np.uint8)
    pixels[..., 0] += red
    Image.fromarray(pixels).save(path)


@pytest.fixture(params=["lists", "folders"])
def data(request, tmp_path):
    """Four images of two classes a split, as lists or as folders."""
    for split in ("train", "val", "test"):
        lines = []
        for number in range(4):
            name = f"{split}/{'ab'[number % 2]}/{number}.png"
            picture(tmp_path / name, 150 * (number % 2))
            lines.append(f"{name} {number % 2}")
        if request.param == "lists":
            (tmp_path / f"{split}_list.txt").write_text("\n".join(lines))
    return tmp_path


def options(data, weights, **more):
    return {
        "model": "mobilenet_v2",
        "weights": weights,
        "data": str(data),
        "image_size": SIDE,
        "batch_size": 2,
        **more,
    }


def test_the_task_meets_every_demand(data, weights):
    unmet = [
        demand for demand in check_task("classification", options(data, weights)) if not demand.met
    ]
    assert unmet == []


@pytest.mark.parametrize(
    "name", ("ResNet50_vd", "MobileNetV1", "MobileNetV2", "MobileNetV3_large_x1_0")
)
def test_paddleclas_models_keep_its_names(name):
    """So that its published weights load. Only where its wheel is installed."""
    if importlib.util.find_spec("paddleclas") is None:
        with pytest.raises(TaskError, match="needs PaddleClas"):
            build_network(name, 3)
        return
    model = build_network(name, 3)
    model.eval()
    assert model(paddle.rand([1, 3, 64, 64])).shape == [1, 3]


def test_images_are_normalized_and_labels_are_the_folders(data, weights):
    task = make_task(**options(data, weights))
    (batch,) = task.eval_batches("val", 10)
    assert batch.inputs[0].shape == (4, 3, SIDE, SIDE)
    order = np.argsort(batch.targets[:, 0], kind="stable")
    reds = batch.inputs[0][order, 0].mean((1, 2))
    assert (reds[:2] < 0).all() and (reds[2:] > 0).all()


def test_training_shows_other_crops_by_its_seed(data, weights):
    task = make_task(**options(data, weights))
    first, again, other = (next(task.train_batches(4, seed)).inputs[0] for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()


def test_a_damaged_image_is_refused_before_anything_starts(data, weights):
    (data / "val/a/0.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"0\.png cannot be read"):
        make_task(**options(data, weights))


def test_an_unknown_model_and_a_missing_folder(data, weights, tmp_path):
    for name in ("net", "NetV2"):
        with pytest.raises(TaskError, match=f"model '{name}' is unknown"):
            make_task(**options(data, weights, model=name)).build_model()
    with pytest.raises(TaskError, match="is not a folder"):
        make_task(**options(tmp_path / "none", weights))


def test_without_a_test_split_half_of_each_class_of_val_is_the_test(data, weights):
    (data / "test_list.txt").unlink(missing_ok=True)
    shutil.rmtree(data / "test")
    with collected() as said:
        task = make_task(**options(data, weights))
    for split in ("val", "test"):
        (batch,) = task.eval_batches(split, 10)
        assert sorted(batch.targets[:, 0]) == [0, 1]
    assert "the 4 images of val are divided class by class" in said[0]


def test_auxiliary_outputs_are_trained_and_not_delivered(data, tmp_path):
    """paddle.vision's googlenet gives three outputs."""
    paddle.seed(0)
    paddle.save(build_network("googlenet", 2).state_dict(), str(tmp_path / "g.pdparams"))
    given = options(data, str(tmp_path / "g.pdparams"), model="googlenet", image_size=224)
    task = make_task(**given)
    model = task.build_model()
    images = paddle.rand([2, 3, 224, 224])
    model.eval()
    assert model(images).shape == [2, 2]
    model.train()
    outputs = model(images)
    targets = paddle.to_tensor(np.array([[0], [1]]))
    one, two, three = (float(paddle.nn.functional.cross_entropy(o, targets)) for o in outputs)
    assert float(task.loss(outputs, targets)) == pytest.approx(one + 0.3 * (two + three), rel=1e-5)
    assert set(model.state_dict()) == set(build_network("googlenet", 2).state_dict())
    export_float(model, task.inputs, tmp_path / "export")
    (scores,) = PaddleEngine(tmp_path / "export", "float", 1).run((images.numpy(),))
    assert np.allclose(scores, model(images).numpy(), atol=1e-4)
