"""Networks built by PaddleClas's wheel, which has nothing else that a task could use."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Any

from spaces.errors import TaskError, one_line

if TYPE_CHECKING:
    import paddle


def build_paddleclas(name: str, **settings: Any) -> paddle.nn.Layer:
    """Return an untrained network of PaddleClas, by its name in a configuration's `Arch`.

    Raises TaskError if the wheel is not installed or the network does not take the settings.
    """
    found = importlib.util.find_spec("paddleclas")
    if found is None or not found.submodule_search_locations:
        raise TaskError(
            f"model {name!r} needs PaddleClas, which is not installed; "
            'pip install --no-deps "paddleclas==2.6.0" prettytable wcwidth'
        )
    # Its modules import each other as `ppcls`, which is inside that folder.
    folder = found.submodule_search_locations[0]
    if folder not in sys.path:
        sys.path.append(folder)
    importlib.import_module("ppcls.utils.logger").init_logger()
    builder = getattr(importlib.import_module("ppcls.arch.backbone"), name, None)
    # The module's attributes include submodules, which are not callable.
    if not callable(builder):
        raise TaskError(
            f"model {name!r} is unknown; PaddleClas has ResNet50_vd, MobileNetV3_large_x1_0 and "
            "others, by these names"
        )
    # Some networks download weights by default; here all weights come from one file.
    settings.setdefault("pretrained", False)
    try:
        return builder(**settings)
    except TypeError as error:
        raise TaskError(f"PaddleClas's {name} cannot be built: {one_line(error)}") from error
