import ast
import re
from pathlib import Path

import numpy as np
import pytest

from spaces.planning import settings
from spaces.planning.settings import DEFAULT_SETTINGS, KnapsackSettings


def constants():
    """Yield class, name and docstring of every constant of settings.py."""
    module = ast.parse(Path(settings.__file__).read_text())
    for kind in module.body:
        if isinstance(kind, ast.ClassDef):
            for item, after in zip(kind.body, [*kind.body[1:], None], strict=True):
                if isinstance(item, ast.AnnAssign) and "Settings" not in ast.unparse(
                    item.annotation
                ):
                    text = after.value.value if isinstance(after, ast.Expr) else ""
                    yield kind.name, item.target.id, " ".join(text.split())


@pytest.mark.parametrize(("kind", "name", "text"), constants())
def test_every_constant_has_its_reason(kind, name, text):
    assert re.search(r"guess|\(LOG: [^)]+\)", text), f"{kind}.{name} has no reason"


def test_prices_are_evenly_spaced_in_their_logarithms():
    prices = KnapsackSettings(lowest_price=0.1, highest_price=10.0, price_count=3).prices
    assert prices == pytest.approx([0.1, 1.0, 10.0])
    assert np.all(np.diff(DEFAULT_SETTINGS.knapsack.prices) > 0)


def test_settings_cannot_be_changed():
    with pytest.raises(AttributeError):
        DEFAULT_SETTINGS.loss.noise = 1.0
