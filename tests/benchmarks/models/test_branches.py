from pathlib import Path

from benchmarks.models.branches import Row, examine, table


def test_the_branches_of_a_network_are_taken_out_and_compared():
    row = examine("squeezenet1_1", Path())
    assert (row.groups, row.branches, row.failed) == (25, 8, None)
    assert max(row.worst_alone, row.together, row.exported) < 1e-4
    assert row.operators[1] < row.operators[0]
    assert min(row.latency_ms) > 0


def test_a_model_that_failed_is_a_line_too():
    lines = table([Row("one", 9, 6), Row("other", failed="out of memory")]).splitlines()
    assert lines[2].startswith("| one | 9 | 6 (0) |") and "out of memory" in lines[3]
    assert all(line.count("|") == lines[0].count("|") for line in lines)
