"""Rebuild the microscopy frames in this repository.

    python -m benchmarks.problems.build_nuclei FOLDER

FOLDER is the unpacked wheel of ndev-sampledata 0.0.3 (BSD-3-Clause). It is no dependency, since it
would install forty packages that are not needed.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

DATA = Path(__file__).parent / "data" / "nuclei.parquet"
SOURCE = Path("ndev_sampledata") / "samples" / "scratch-assay-labeled-10T-2Ch.tiff"
FRAMES = 10
# First planes of the stain and of the nuclei, the first and third channel: the file has ten planes
# of each channel.
STAIN, NUCLEI = 0, 2 * FRAMES


def read_planes(path: Path, first: int) -> list[np.ndarray]:
    """Return ten planes of the stack, each (210, 576) uint16."""
    planes = []
    with Image.open(path) as stack:
        for page in range(first, first + FRAMES):
            stack.seek(page)
            planes.append(np.array(stack))
    return planes


def main() -> None:
    path = Path(sys.argv[1]) / SOURCE
    stain, nuclei = read_planes(path, STAIN), read_planes(path, NUCLEI)
    frame = pd.DataFrame(
        {
            "height": [plane.shape[0] for plane in stain],
            "width": [plane.shape[1] for plane in stain],
            "stain": [plane.astype("<u2").tobytes() for plane in stain],
            "nuclei": [plane.astype("<u2").tobytes() for plane in nuclei],
        }
    )
    frame.to_parquet(DATA, index=False, compression="zstd", compression_level=19)
    print(f"{DATA}: {DATA.stat().st_size} bytes")


if __name__ == "__main__":
    main()
