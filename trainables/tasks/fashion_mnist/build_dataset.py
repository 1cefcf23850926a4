"""Rebuild the subset of Fashion-MNIST in the repository.

    python -m trainables.tasks.fashion_mnist.build_dataset [FOLDER]

FOLDER holds the four `*-ubyte.gz` files of Debian's package
`dataset-fashion-mnist`, which installs them in /usr/share/datasets/fashion-mnist.
Images are chosen with a fixed seed, so the same package gives the same file.
"""

import gzip
import sys
from pathlib import Path

import numpy as np
import pandas as pd

DATASET = Path(__file__).parent / "data" / "fashion_mnist.parquet"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
CLASSES = 10
# Images per class: few, so that trials take seconds. A guess.
PER_CLASS = {"train": 1000, "val": 200, "test": 200}
SEED = 0


def read_idx(path: Path) -> np.ndarray:
    """Return the uint8 array of an idx file, (n,) for labels, (n, 28, 28) for images."""
    raw = gzip.decompress(path.read_bytes())
    dimensions = raw[3]
    shape = np.frombuffer(raw, ">i4", dimensions, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def balanced(labels: np.ndarray, per_class: int, rng: np.random.Generator) -> np.ndarray:
    """Return `per_class` indices of every class, shuffled, shape (CLASSES * per_class,)."""
    chosen = [
        rng.permutation(np.flatnonzero(labels == label))[:per_class] for label in range(CLASSES)
    ]
    return rng.permutation(np.concatenate(chosen))


def build(folder: Path) -> pd.DataFrame:
    """Return the subset: columns `split`, `label`, `image` (784 raw bytes, row by row)."""
    rng = np.random.default_rng(SEED)
    frames = []
    # Validation is part of the training file, so that the test file is used only for test.
    for source, splits in {"train": ("train", "val"), "t10k": ("test",)}.items():
        images = read_idx(folder / f"{source}-images-idx3-ubyte.gz")
        labels = read_idx(folder / f"{source}-labels-idx1-ubyte.gz")
        free = np.ones(len(labels), bool)
        for split in splits:
            candidates = np.flatnonzero(free)
            index = candidates[balanced(labels[candidates], PER_CLASS[split], rng)]
            free[index] = False
            frames.append(
                pd.DataFrame(
                    {
                        "split": split,
                        "label": labels[index].astype("uint8"),
                        "image": [images[i].tobytes() for i in index],
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEBIAN_FOLDER
    if not folder.is_dir():
        sys.exit(
            f"{folder} is not a folder: install Debian's dataset-fashion-mnist, "
            "or name the folder of its idx files"
        )
    frame = build(folder)
    frame.to_parquet(DATASET, index=False, compression="zstd", compression_level=19)
    print(f"{DATASET}: {len(frame)} images, {DATASET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
