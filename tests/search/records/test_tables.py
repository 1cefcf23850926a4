from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from search.records.tables import SCHEMA_VERSION, SCHEMAS, Store

ROWS = 200


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path)
    made.create()
    return made


def measured(number, metric, count=1):
    return [
        {"number": number, "stage": "finetune", "rung": rung, "metric": metric}
        for rung in range(count)
    ]


def test_rows_come_back_with_null_where_nothing_was_given(store):
    store.write("measurements", "000003", measured(3, 0.5))
    (row,) = store.read("measurements")
    assert row == {
        "number": 3,
        "stage": "finetune",
        "rung": 0,
        "fidelity": None,
        "metric": 0.5,
        "metric_loss": None,
        "standard_error": None,
        "train_loss": None,
        "schema_version": SCHEMA_VERSION,
    }


def test_rows_come_back_file_by_file_in_order_of_name(store):
    for number in (10, 2, 1):
        store.write("measurements", f"{number:06d}", measured(number, 0.5, count=2))
    found = [(row["number"], row["rung"]) for row in store.read("measurements")]
    assert found == [(1, 0), (1, 1), (2, 0), (2, 1), (10, 0), (10, 1)]


def test_writing_a_name_again_replaces_its_rows(store):
    store.write("measurements", "000001", measured(1, 0.5, count=3))
    store.write("measurements", "000001", measured(1, 0.6, count=2))
    assert [row["metric"] for row in store.read("measurements")] == [0.6, 0.6]


def test_rows_may_come_from_a_generator(store):
    store.write("measurements", "000001", (row for row in measured(1, 0.5, count=3)))
    assert len(store.read("measurements")) == 3


def test_a_column_that_the_schema_lacks_is_our_mistake(store):
    with pytest.raises(AssertionError, match=r"trials has no column .*'nubmer'"):
        store.write("trials", "000001", [{"number": 1}, {"nubmer": 2}])
    assert store.read("trials") == []


def test_a_write_that_fails_leaves_what_was_there(store):
    store.write("measurements", "000001", measured(1, 0.5))
    with pytest.raises(pa.ArrowInvalid):
        store.write("measurements", "000001", [{"number": "no number"}])
    assert [row["metric"] for row in store.read("measurements")] == [0.5]


def test_a_reader_meets_whole_files_only(store, tmp_path):
    """While one thread rewrites a file as fast as it can, another one always reads
    all of its rows, and all from the same writing."""
    store.write("measurements", "000001", measured(1, 0.0, ROWS))
    done = False

    def rewrite():
        version = 0
        while not done:
            version += 1
            store.write("measurements", "000001", measured(1, float(version), ROWS))
        return version

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(rewrite)
        try:
            seen = set()
            for _ in range(150):
                metrics = [row["metric"] for row in store.read("measurements")]
                assert len(metrics) == ROWS
                assert len(set(metrics)) == 1
                seen.update(metrics)
                assert len(pd.read_parquet(tmp_path / "measurements")) == ROWS
        finally:
            done = True
    # Otherwise nothing was read while something was written.
    assert len(seen) > 5
    assert writing.result() > 5


def test_what_a_killed_writer_left_is_no_row_for_any_reader(store, tmp_path):
    store.write("measurements", "000001", measured(1, 0.5))
    (tmp_path / "measurements" / ".000002.parquet.tmp").write_bytes(b"PAR1 half a file")
    assert [row["number"] for row in store.read("measurements")] == [1]
    assert pd.read_parquet(tmp_path / "measurements")["number"].tolist() == [1]


def test_the_next_writer_is_not_in_the_way_of_what_a_killed_one_left(store, tmp_path):
    (tmp_path / "measurements" / ".000002.parquet.tmp").write_bytes(b"PAR1 half a file")
    store.write("measurements", "000002", measured(2, 0.5))
    assert [row["number"] for row in store.read("measurements")] == [2]
    assert [path.name for path in (tmp_path / "measurements").iterdir()] == ["000002.parquet"]


def test_pandas_reads_a_table_from_its_folder(store, tmp_path):
    """As the guide to results shows; types must not depend on what is null in a file."""
    store.write("measurements", "000001", measured(1, None))
    store.write("measurements", "000002", measured(2, 0.5))
    frame = pd.read_parquet(tmp_path / "measurements")
    assert frame["number"].tolist() == [1, 2]
    assert frame["metric"].dtype == "float64"
    assert frame["stage"].tolist() == ["finetune", "finetune"]


def test_no_rows_make_no_file(store, tmp_path):
    store.write("measurements", "000001", [])
    assert list((tmp_path / "measurements").iterdir()) == []
    assert store.read("measurements") == []


def test_writing_no_rows_replaces_what_was_there(store):
    store.write("measurements", "000001", measured(1, 0.5))
    store.write("measurements", "000001", [])
    assert store.read("measurements") == []


@pytest.mark.parametrize("table", SCHEMAS)
def test_an_empty_table_has_its_columns(store, table):
    frame = store.frame(table)
    assert frame.empty
    assert list(frame.columns) == SCHEMAS[table].names


def test_a_frame_has_the_rows_and_the_order_of_the_schema(store):
    store.write("ratios", "000001", [{"ratio": 0.5, "number": 1, "group": "a"}])
    frame = store.frame("ratios")
    assert list(frame.columns) == SCHEMAS["ratios"].names
    assert frame.loc[0, ["number", "group", "ratio"]].tolist() == [1, "a", 0.5]


@pytest.mark.parametrize("table", SCHEMAS)
def test_every_file_says_its_version(store, tmp_path, table):
    store.write(table, "000001", [{}])
    path = tmp_path / table / "000001.parquet"
    assert pq.read_schema(path).metadata[b"schema_version"] == str(SCHEMA_VERSION).encode()
    assert store.read(table)[0]["schema_version"] == SCHEMA_VERSION


def test_rows_of_an_older_version_are_read(store):
    """Version 3 had no multiply_adds."""
    old = pa.schema([field for field in SCHEMAS["trials"] if field.name != "multiply_adds"])
    row = {"number": 4, "state": "COMPLETE", "metric_loss": 0.05, "schema_version": 3}
    pq.write_table(pa.Table.from_pylist([row], schema=old), store.folder / "trials" / "4.parquet")
    store.write("trials", "000005", [{"number": 5, "multiply_adds": 7}])
    frame = store.frame("trials").set_index("number")
    assert frame.loc[4, "metric_loss"] == 0.05
    assert list(frame["schema_version"]) == [SCHEMA_VERSION, 3]
    assert frame["multiply_adds"].isna().tolist() == [False, True]
