from pathlib import Path

import paddle
import pytest

from spaces.errors import DataError, TaskError
from tests.trainables.tasks.toolkits import segmentation_data
from trainables.checking import check_task
from trainables.tasks.paddleseg.task import make_task

MODEL = "{type: UNet, num_classes: 2, pretrained: null}"


@pytest.fixture
def options(tmp_path):
    models = pytest.importorskip("paddleseg.models")
    paddle.seed(0)
    config = segmentation_data(tmp_path, MODEL, heads=1)
    paddle.save(models.UNet(2).state_dict(), str(tmp_path / "w.pdparams"))
    return {"config_file": str(config), "weights": str(tmp_path / "w.pdparams")}


def test_the_task_meets_every_demand(options):
    small = {**options, "image_size": 32}
    assert [demand for demand in check_task("paddleseg", small) if not demand.met] == []


def test_images_have_the_size_of_training_crops_or_the_one_asked_for(options):
    assert make_task(**options).inputs[0].shape == (3, 64, 64)
    task = make_task(**options, image_size=32)
    (batch,) = task.eval_batches("val", 10)
    assert batch.inputs[0].shape == (3, 3, 32, 32) and batch.targets.shape == (3, 32, 32)


def test_validation_and_test_share_no_image(options):
    task = make_task(**options)
    images = {
        split: {image.tobytes() for b in task.eval_batches(split, 4) for image in b.inputs[0]}
        for split in ("val", "test")
    }
    assert len(images["val"]) == len(images["test"]) == 3
    assert not images["val"] & images["test"]


def test_a_damaged_mask_is_refused_before_anything_starts(options, tmp_path):
    (tmp_path / "3-mask.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"train 4: mask .*3-mask\.png cannot be read"):
        make_task(**options)


def test_what_the_toolkit_says_of_a_configuration_is_passed_on(options):
    config = Path(options["config_file"])
    config.write_text(config.read_text().replace("iters: 100\n", ""))
    with pytest.raises(TaskError, match="No iters specified"):
        make_task(**options)


def test_a_missing_configuration(options, tmp_path):
    with pytest.raises(TaskError, match=r"none\.yml is missing"):
        make_task(str(tmp_path / "none.yml"), options["weights"])


@pytest.mark.parametrize("backbone", ["VisionTransformer", "CAE"])
def test_a_transformer_is_built_without_its_initial_weights(options, tmp_path, backbone):
    sizes = "img_size: 64, patch_size: 16, embed_dim: 48, depth: 2, num_heads: 3"
    first = "pretrained: https://127.0.0.1/vit.tar.gz"
    transformer = f"{{type: {backbone}, {sizes}, {first}}}"
    model = f"{{type: LinearSegmenter, num_classes: 2, backbone: {transformer}}}"
    (tmp_path / "vit").mkdir()
    config = segmentation_data(tmp_path / "vit", model, heads=1)
    task = make_task(str(config), options["weights"])
    assert "backbone.pos_embed" in dict(task.build_untrained().named_parameters())
