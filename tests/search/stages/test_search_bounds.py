"""Bounds that no plan of a space can keep are a mistake, known before the search begins."""

import pytest

from search.config import RunConfig
from search.records.ledger import Ledger
from search.records.search_space import build_space
from search.records.tables import Store
from search.stages.search import check_bounds
from search.tune.plan_source import plan_sources
from spaces.errors import ConfigError
from spaces.plan import Plan, QuantizationChoice
from tests.search.made_run import FLOAT, GROUPS, PTQ, baseline

TIMINGS = [
    (Plan(), 1.0),
    (Plan.of({}, PTQ), 0.4),
    (Plan.of(dict.fromkeys(GROUPS, 0.5), PTQ), 0.25),
    (Plan.of(dict.fromkeys(GROUPS, 0.5), FLOAT), 0.6),
    (Plan.of({}, QuantizationChoice.INT8_QAT), 0.45),
]
SENSITIVITIES = {name: [(0.25, 0.02), (0.5, 0.06), (0.75, 0.2)] for name in GROUPS}


def sources_of(tmp_path, timings=TIMINGS, **settings):
    config, unpruned = RunConfig(budget=0.1, **settings), baseline()
    space = build_space(config, unpruned)
    ledger = Ledger.of_run(Store(tmp_path), config, space.groups, unpruned)
    return config, unpruned, plan_sources(config, space, unpruned, SENSITIVITIES, timings, ledger)


def test_without_bounds_nothing_is_judged(tmp_path):
    config, unpruned, sources = sources_of(tmp_path)
    assert sources.judge is None and sources.exceeded() is None
    check_bounds(config, unpruned, sources)


@pytest.mark.parametrize("settings", [{"max_latency_ms": 15.0}, {"max_size_bytes": 900_000}])
@pytest.mark.parametrize("timings", [TIMINGS, None])
def test_bounds_that_can_be_kept_are_judged_by(tmp_path, settings, timings):
    config, unpruned, sources = sources_of(tmp_path, timings, **settings)
    assert sources.judge is not None and (sources.planner is None) == (timings is None)
    check_bounds(config, unpruned, sources)


@pytest.mark.parametrize(
    "settings, said",
    [
        (
            {"max_latency_ms": 0.01},
            r"--max-latency-ms 0\.01: no plan of this space is predicted to take less than "
            r"\S+ ms; give that or more, or a greater -o max_ratio",
        ),
        (
            {"max_size_bytes": 10},
            r"--max-size-bytes 10: no plan of this space is predicted to have fewer than "
            r"\d+ bytes; give that or more, or a greater -o max_ratio",
        ),
    ],
)
def test_a_bound_that_no_plan_can_keep_is_refused_with_what_is_reachable(tmp_path, settings, said):
    with pytest.raises(ConfigError, match=f"^{said}$") as refused:
        check_bounds(*sources_of(tmp_path, **settings))
    # What is named can be kept.
    (name,) = settings
    words = str(refused.value).split()
    least = float(words[words.index("ms;" if name == "max_latency_ms" else "bytes;") - 1])
    found = sources_of(tmp_path, **{name: least if name == "max_latency_ms" else int(least)})
    check_bounds(*found)
