"""Code in the guides is run as it is printed; their commands in test_readme_commands.py."""

import re

import pandas as pd
import pytest

from tests.helpers.printed import PAGES

GROUPS = {"conv1.weight", "conv2.weight"}


def block(name):
    """Return the code that the guide marks as tested under a name."""
    text = PAGES["reading-results"].read_text()
    found = re.search(rf"<!-- tested: {name} -->\n```\w+\n(.*?)```", text, re.DOTALL)
    assert found, f"the guide has no block {name}"
    return found.group(1)


@pytest.mark.slow
def test_pandas_answers_the_usual_questions(whole_run):
    run, _ = whole_run
    names = {}
    exec(block("pandas").replace("RUN", str(run)), names)
    front = names["front"]
    assert front["latency_ratio"].is_monotonic_increasing
    assert front["metric_loss"].is_monotonic_decreasing
    assert set(names["pruned_most"].index) <= GROUPS
    assert names["cost_of_int8"]["latency_ratio"].notna().all()
    assert "multiply_adds" in names["by_flops"]


@pytest.mark.slow
def test_duckdb_answers_them_alike(whole_run):
    import duckdb

    run, _ = whole_run
    names = {}
    exec(block("pandas").replace("RUN", str(run)), names)
    session = duckdb.connect()
    statements = block("duckdb").replace("RUN", str(run)).split(";")
    view, front, pruned, cost, flops = (text for text in statements if text.strip())
    session.execute(view)
    # Plans that are equal in both, such as one shape in two ways to INT8, come in any order.
    assert set(session.execute(front).df()["number"]) == set(names["front"]["number"])
    most = dict(session.execute(pruned).fetchall())
    assert most == pytest.approx(names["pruned_most"].to_dict())
    assert len(session.execute(cost).df()) >= 1
    trials = pd.read_parquet(run / "trials")
    assert set(session.execute(flops).df()["quantization"]) == set(trials["quantization"])
