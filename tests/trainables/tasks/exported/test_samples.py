import shutil

import numpy as np
import pytest
from PIL import Image

from spaces.errors import DataError
from trainables.remarks import collected
from trainables.task import SPLITS, ModelInput
from trainables.tasks.exported.preprocessing import Prepared, image_preparation
from trainables.tasks.exported.samples import epoch, read_samples, split_by_content

SHAPE = (3, 8, 8)
SPEC = ModelInput("x", SHAPE, image=image_preparation(Prepared(), SHAPE), scale=1 / 255)


def picture(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def photos(tmp_path):
    for number in range(10):
        picture(tmp_path / f"photos/{number % 2}/{number}.png", number)
    return tmp_path / "photos"


def contents(samples, split):
    return sorted(array.tobytes() for array in samples.read(samples.splits[split])[0])


def test_splits_follow_the_content_not_the_names(photos, tmp_path):
    first = read_samples(photos, [SPEC], augment=True)
    assert [len(first.splits[split]) for split in SPLITS] == [6, 2, 2]
    before = [contents(first, split) for split in SPLITS]
    for number in range(10):
        shutil.move(photos / f"{number % 2}/{number}.png", photos / f"{9 - number}.png")
    second = read_samples(photos, [SPEC], augment=True)
    assert [contents(second, split) for split in SPLITS] == before


def test_equal_samples_are_in_one_split():
    digests = [*"abcdefghij"] * 3
    found = split_by_content(digests, "data")
    assert sorted(len(rows) for rows in found.values()) == [6, 6, 18]
    of = {split: {digests[row] for row in rows} for split, rows in found.items()}
    assert not of["train"] & of["val"] and not of["val"] & of["test"]


def test_a_list_of_images_and_its_labels_are_not_read(photos, tmp_path):
    files = sorted(photos.rglob("*.png"))
    lines = [f"{file.relative_to(tmp_path)}\tlabel {n}" for n, file in enumerate(files)]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    listed = read_samples(tmp_path / "list.txt", [SPEC], augment=True)
    whole = read_samples(photos, [SPEC], augment=True)
    assert all(contents(listed, split) == contents(whole, split) for split in SPLITS)


def test_training_shows_other_crops_by_its_seed_unless_told_not_to(photos):
    samples = read_samples(photos, [SPEC], augment=True)
    first, again, other = (next(epoch(samples, 4, seed))[0] for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()
    plain = read_samples(photos, [SPEC], augment=False)
    (batch,) = next(epoch(plain, 6, 0))
    assert sorted(array.tobytes() for array in batch) == contents(plain, "train")


def test_training_shows_parts_of_lines_that_are_as_high_and_not_mirrored(tmp_path):
    shape = (3, 8, 64)
    how = Prepared(resize="line", mean=(0.0,), std=(1.0,))
    spec = ModelInput("x", shape, image=image_preparation(how, shape))
    for number in range(9):
        # Darker from top to bottom, brighter from left to right.
        pixels = np.arange(48)[None, :, None] * 2 - np.arange(8)[:, None, None] + 20 + number
        Image.fromarray(np.repeat(pixels, 3, 2).astype("u1")).save(tmp_path / f"{number}.png")
    whole = read_samples(tmp_path, [spec], augment=False)
    (plain,) = next(epoch(whole, 5, 0))
    (parts,) = next(epoch(read_samples(tmp_path, [spec], augment=True), 5, 0))
    assert (plain[:, :, :, 47] > 0).all() and not plain[:, :, :, 48:].any()
    widths = (parts[:, 0, 0] > 0).sum(1)
    assert len(set(widths)) > 1 and widths.min() >= 24 and widths.max() <= 48
    for part, wide in zip(parts, widths, strict=True):
        assert (np.diff(part[0, :, :wide], axis=1) == 2).all()
        assert (np.diff(part[0, :, :wide], axis=0) == -1).all()


def test_lines_that_are_squeezed_are_counted(photos):
    lines = [
        ModelInput(
            "x", (3, 8, width), image=image_preparation(Prepared(resize="line"), (3, 8, width))
        )
        for width in (6, 7)
    ]
    # All are 12 high and 10 wide: 8 high they are 6.7 wide.
    with collected() as said:
        read_samples(photos, [lines[0]], augment=True)
    assert said == [
        "10 of the 10 lines are squeezed into the input's width of 6; give a wider "
        "task_options.size"
    ]
    with collected() as said:
        read_samples(photos, [lines[1]], augment=True)
        read_samples(photos, [SPEC], augment=True)
    assert said == []


def test_a_batch_of_more_samples_than_there_are_repeats_them(photos):
    samples = read_samples(photos, [SPEC], augment=False)
    (batch,) = next(epoch(samples, 16, 0))
    assert len(batch) == 16


def test_tensors_by_name_or_alone(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(10, *SHAPE)), rng.normal(size=(10, 2)).astype("f4")
    np.save(tmp_path / "x.npy", x.astype("f4"))
    np.savez(tmp_path / "x.npz", anything=x)
    np.savez(tmp_path / "both.npz", y=y, x=x)
    for name in ("x.npy", "x.npz"):
        samples = read_samples(tmp_path / name, [SPEC], augment=True)
        (found,) = samples.read([3, 1])
        assert found.dtype == np.float32 and np.allclose(found, x[[3, 1]])
    both = read_samples(tmp_path / "both.npz", [SPEC, ModelInput("y", (2,))], augment=True)
    assert [array.shape for array in both.read([0])] == [(1, *SHAPE), (1, 2)]


def test_what_is_wrong_with_tensors(tmp_path):
    two = [SPEC, ModelInput("y", (2,))]
    good = np.random.default_rng(0).normal(size=(10, *SHAPE)).astype("f4")
    for content, inputs, said in (
        ({"x": good[:, :2]}, [SPEC], r"x has shape \(10, 2, 8, 8\); the model takes"),
        ({"x": good, "y": np.zeros((9, 2))}, two, "as many of each input"),
        ({"x": good}, two, "has no array 'y', an input of the model; it has x"),
        ({"x": good.astype("complex64")}, [SPEC], "x is complex64"),
        ({"x": np.where(good > 2, np.nan, good)}, [SPEC], "not finite"),
        ({"x": np.zeros_like(good)}, [SPEC], "has 1 different samples"),
        ({"x": np.array([object()])}, [SPEC], "holds no arrays of numbers"),
    ):
        np.savez(tmp_path / "d.npz", **content)
        with pytest.raises(DataError, match=said) as caught:
            read_samples(tmp_path / "d.npz", inputs, augment=True)
        assert "\n" not in str(caught.value)
    (tmp_path / "d.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match="holds no arrays of numbers"):
        read_samples(tmp_path / "d.npy", [SPEC], augment=True)


def test_what_is_wrong_with_images(photos, tmp_path):
    with pytest.raises(DataError, match="is one image"):
        read_samples(photos / "0/0.png", [SPEC], augment=True)
    with pytest.raises(DataError, match="does not take one image"):
        read_samples(photos, [SPEC, SPEC], augment=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="has no images"):
        read_samples(tmp_path / "empty", [SPEC], augment=True)
    (photos / "0/0.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"0\.png cannot be read"):
        read_samples(photos, [SPEC], augment=True)
    (tmp_path / "list.txt").write_text("photos/none.png")
    with pytest.raises(DataError, match=r"none\.png is missing"):
        read_samples(tmp_path / "list.txt", [SPEC], augment=True)
