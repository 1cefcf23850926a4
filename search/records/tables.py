"""The parquet tables of a run: explicit schemas, whole files, readable at any moment.

Each table is a folder. A row's file is named after what it is about, so writing it
again replaces it and cannot double it; a temporary name and a rename mean that a
reader, or a crash, never meets half a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from search.records.columns import columns_of
from search.records.folder import Folder
from search.records.trial_record import STAGES, TrialRecord
from trainables.results import LatencyReading, Measurement, Sensitivity, TrialResult

SCHEMA_VERSION = 4


def _schema(about: str, **columns: tuple[pa.DataType, str]) -> pa.Schema:
    columns["schema_version"] = (pa.int64(), "of the tables, as the row was written")
    fields = [
        pa.field(name, kind, metadata={"meaning": meaning})
        for name, (kind, meaning) in columns.items()
    ]
    return pa.schema(fields, metadata={"schema_version": str(SCHEMA_VERSION), "about": about})


_NUMBER = (pa.int64(), "of the trial")

SCHEMAS: dict[str, pa.Schema] = {
    "trials": _schema(
        "A row a finished trial.",
        **{
            "number": _NUMBER,
            "plan_key": (pa.string(), "16 hex digits that equal plans share"),
            "plan": (pa.string(), "JSON: ratios of the pruned groups, quantization"),
            "quantization": (pa.string(), "float, bfloat16, int8_ptq, int8_qat or int8_qat_pact"),
            **columns_of(TrialResult),
            **columns_of(TrialRecord),
        },
        feasible=(pa.bool_(), "COMPLETE and within the budget"),
        multiply_adds=(pa.int64(), "of a sample, in convolutions and linear layers, as pruned"),
        **{f"{stage}_s": (pa.float64(), f"seconds in the stage {stage}") for stage in STAGES},
    ),
    "measurements": _schema(
        "A row an evaluation of a trial: one a rung, and the last one of the export.",
        number=_NUMBER,
        **columns_of(Measurement),
    ),
    "ratios": _schema(
        "A row a trial and pruning group.",
        number=_NUMBER,
        group=(pa.string(), "the first of the parameters that shrink together"),
        channels=(pa.int64(), "output channels of the group, unpruned"),
        kept=(pa.int64(), "output channels that the plan keeps"),
        ratio=(pa.float64(), "share of the channels that it removes, 0 to below 1"),
    ),
    "sensitivity": _schema(
        "A row a group and ratio: that group alone pruned, without training.",
        **columns_of(Sensitivity),
    ),
    "latency": _schema(
        "A row a reading of the probe.",
        number=(pa.int64(), "of the trial; null where it is not of one"),
        stage=(
            pa.string(),
            "baseline, reference, table (shapes timed before the search), shape (a trial's, before "
            "its training), export (a trial's, at its end), final (the delivered model)",
        ),
        plan=(pa.string(), "JSON, as in trials; null where the trial says it"),
        reused=(pa.bool_(), "whether it is the reading of an equal shape of before"),
        **columns_of(LatencyReading),
    ),
}


def table_columns() -> dict[str, tuple[str, list[tuple[str, str, str]]]]:
    """Return what each table is about, and its columns: name, type, meaning."""
    return {
        table: (
            schema.metadata[b"about"].decode(),
            [(f.name, str(f.type), f.metadata[b"meaning"].decode()) for f in schema],
        )
        for table, schema in SCHEMAS.items()
    }


Row = Mapping[str, Any]
Parsed = TypeVar("Parsed")


class Store:
    """The tables of one run folder."""

    def __init__(self, folder: Path | Folder) -> None:
        self._files = folder if isinstance(folder, Folder) else Folder(folder)
        self.folder = self._files.path
        self.damaged: set[str] = set()
        """Files that could not be read, as "table/name.parquet"; their rows are left out."""

    def create(self) -> None:
        """Make an empty folder for every table."""
        for table in SCHEMAS:
            (self.folder / table).mkdir(parents=True, exist_ok=True)

    def write(self, table: str, name: str, rows: Iterable[Row]) -> None:
        """Write the rows of one file, whole or not at all, in place of what it held.

        Columns that a row lacks are null; a column that the schema lacks is our mistake.
        """
        schema = SCHEMAS[table]
        complete = [{**row, "schema_version": SCHEMA_VERSION} for row in rows]
        unknown = {key for row in complete for key in row} - set(schema.names)
        assert not unknown, f"{table} has no column {sorted(unknown)}"
        file = f"{table}/{name}.parquet"
        if not complete:
            self._files.delete(file)
            return
        buffer = pa.BufferOutputStream()
        table_ = pa.Table.from_pylist(complete, schema=schema)
        pq.write_table(table_, buffer, write_page_checksum=True)
        self._files.write(file, buffer.getvalue().to_pybytes())

    def read(self, table: str) -> list[dict[str, Any]]:
        """Return all rows of a table, file by file in order of name; null is None.

        A file that cannot be read is left out, and noted in `damaged`.
        """
        return self.parse(table, lambda row: row)

    def parse(self, table: str, read: Callable[[dict[str, Any]], Parsed]) -> list[Parsed]:
        """Return what `read` makes of each row of a table; one it cannot read is damaged, too."""
        found: list[Parsed] = []
        for path in sorted((self.folder / table).glob("[!.]*.parquet")):
            try:
                file = pq.read_table(path, schema=SCHEMAS[table], page_checksum_verification=True)
                found += [read(row) for row in file.to_pylist()]
            except (pa.ArrowException, OSError, ValueError, TypeError, LookupError, AttributeError):
                self.damaged.add(f"{table}/{path.name}")
        return found

    def frame(self, table: str) -> pd.DataFrame:
        """Return a table as a frame with the schema's columns, also when it is empty."""
        columns: list[str] = SCHEMAS[table].names
        frame: pd.DataFrame = pd.DataFrame(self.read(table), columns=columns)
        return frame
