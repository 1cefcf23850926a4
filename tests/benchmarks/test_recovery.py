from dataclasses import asdict

import pandas as pd

from benchmarks.recovery import LEVELS, PLANS, ROUNDS, Cell, Segment, table


def test_chains_share_their_beginnings_and_nothing_else():
    chain = Cell("medium", (Segment(LEVELS[0]), Segment(LEVELS[1], 0.9)), 1)
    assert chain.before == Cell("medium", (Segment(LEVELS[0]),), 1)
    assert chain.before.before is None
    cells = {cell for round_of in ROUNDS.values() for cell in round_of()}
    assert len({cell.key for cell in cells}) == len(cells)
    assert {cell.plan for cell in cells} == set(PLANS)


def test_seeds_are_averaged_in_the_table():
    cells = [Cell("medium", (Segment(800, 0.9, 2.0),), seed) for seed in range(2)]
    losses = (0.05, 0.07)
    rows = pd.DataFrame(
        [
            {**asdict(cell), "metric_loss": loss, "cross_entropy": 0.4}
            for cell, loss in zip(cells, losses, strict=True)
        ]
    )
    (row,) = (line.split() for line in table(rows).splitlines() if line.startswith("800"))
    assert row == ["800", "t0.9", "x2", "b32", "0.4", "6.0", "2"]
