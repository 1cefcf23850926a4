from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

import pyarrow as pa
import pytest

from search.records.columns import cells, columns_of, read_cells
from trainables.results import Column


@dataclass(frozen=True)
class Row:
    name: Annotated[str, Column("what it is called")]
    kind: Annotated[Literal["a", "b"], Column("of two")]
    inner: list[int]
    at: Annotated[datetime, Column("when")]
    share: Annotated[float | None, Column("of the whole")] = None
    count: Annotated[int, Column("how many")] = 0
    done: Annotated[bool, Column("whether")] = False


ROW = Row("one", "a", [1, 2], datetime(2026, 1, 2), 0.5, 3, True)


def test_fields_that_are_marked_are_columns_with_types_and_meanings():
    assert columns_of(Row) == {
        "name": (pa.string(), "what it is called"),
        "kind": (pa.string(), "of two"),
        "at": (pa.timestamp("ms", tz="UTC"), "when"),
        "share": (pa.float64(), "of the whole"),
        "count": (pa.int64(), "how many"),
        "done": (pa.bool_(), "whether"),
    }


def test_a_value_is_read_from_its_cells_and_the_rest():
    row = {**cells(ROW), "another column": 7}
    assert read_cells(Row, row, inner=[1, 2]) == ROW
    assert read_cells(Row, {**row, "share": None}, inner=[]).share is None


@pytest.mark.parametrize("changes", [{"kind": "c"}, {"share": "much"}, {"count": None}])
def test_a_row_of_other_types_is_refused(changes):
    with pytest.raises(ValueError):
        read_cells(Row, {**cells(ROW), **changes}, inner=[])


def test_a_row_that_lacks_a_column_is_refused():
    row = cells(ROW)
    del row["at"]
    with pytest.raises(LookupError):
        read_cells(Row, row, inner=[])
