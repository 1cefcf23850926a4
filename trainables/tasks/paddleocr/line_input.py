"""Preprocessing of lines of text, from PaddleOCR's configurations of recognisers.

RecResizeImg keeps a line's aspect ratio (`line_steps` in trainables/data/text.py), or fills the
width with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spaces.errors import TaskError
from trainables.data.image_input import Normalize, Preparation, Resize
from trainables.data.text import MIDDLE, line_steps
from trainables.task import ModelInput
from trainables.tasks.paddleocr.images import Transforms, channel_order, checked

# Supported keys of each evaluation transform: any other may change the pixels. None: any key.
SUPPORTED: Mapping[str, tuple[str, ...] | None] = {
    "DecodeImage": ("img_mode", "channel_first"),
    "RecResizeImg": ("image_shape", "padding", "infer_mode", "character_dict_path"),
    # These affect only labels and the choice of arrays.
    "CTCLabelEncode": None,
    "KeepKeys": None,
}


def line_input(given: Transforms, where: str, image_size: Sequence[int] | None) -> ModelInput:
    """Return the engine's input, of `image_size` or of RecResizeImg's image_shape.

    Raises TaskError, beginning with `where`, for a transform or key that would change the
    evaluation's pixels.
    """
    settings = checked(given, SUPPORTED, where)
    order = channel_order(settings, where)
    if "RecResizeImg" not in settings:
        raise TaskError(f"{where} transforms have no RecResizeImg; name one with its image_shape")
    resizing = settings["RecResizeImg"]
    shape = resizing.get("image_shape")
    if not isinstance(shape, Sequence) or len(shape) != 3 or shape[0] != 3:
        raise TaskError(
            f"{where} RecResizeImg: image_shape {shape!r} is not supported; [3, height, width] is"
        )
    if resizing.get("infer_mode"):
        raise TaskError(
            f"{where} RecResizeImg: infer_mode true is not supported: an engine has one width; "
            "false is"
        )
    height, width = (int(side) for side in (image_size or shape[1:]))
    steps = line_steps(height, width)
    if not resizing.get("padding", True):
        filling = Resize(height=height, width=width, library="opencv")
        steps = (filling, Normalize(divides=True))
    return ModelInput(
        "image",
        (3, height, width),
        channel_order=order,
        scale=1 / 255,
        mean=(MIDDLE,) * 3,
        std=(MIDDLE,) * 3,
        image=Preparation(steps, "opencv", turned=True),
    )
