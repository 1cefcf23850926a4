"""The parquet tables of a run: explicit schemas, whole files, readable at any moment.

Each table is a folder. A file is named after what its rows are about, so writing it again replaces
the rows and cannot double them. It gets a temporary name first, so that no reader and no crash
meets half a file.
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

SCHEMA_VERSION = 5


def _schema(about: str, **columns: tuple[pa.DataType, str]) -> pa.Schema:
    columns["schema_version"] = (pa.int64(), "version of the schema that the row was written with")
    fields = [
        pa.field(name, kind, metadata={"meaning": meaning})
        for name, (kind, meaning) in columns.items()
    ]
    return pa.schema(fields, metadata={"schema_version": str(SCHEMA_VERSION), "about": about})


_NUMBER = (pa.int64(), "number of the trial")

SCHEMAS: dict[str, pa.Schema] = {
    "trials": _schema(
        "One row for each finished trial.",
        **{
            "number": _NUMBER,
            "plan_key": (pa.string(), "hash of the plan, 16 hex digits"),
            "plan": (pa.string(), "the plan as JSON: ratios of the pruned groups, quantization"),
            "quantization": (
                pa.string(),
                "precision: float, float16, bfloat16, int8_ptq, int8_qat or int8_qat_pact",
            ),
            **columns_of(TrialResult),
            **columns_of(TrialRecord),
        },
        feasible=(pa.bool_(), "whether the trial is COMPLETE and within the budget"),
        multiply_adds=(
            pa.int64(),
            "multiply-adds of one sample through the pruned model's convolutions and linear layers",
        ),
        **{f"{stage}_s": (pa.float64(), f"wall seconds of the stage {stage}") for stage in STAGES},
    ),
    "measurements": _schema(
        "One row for each evaluation of a trial: at the end of each of its levels.",
        number=_NUMBER,
        **columns_of(Measurement),
    ),
    "ratios": _schema(
        "One row for each trial and pruning group.",
        number=_NUMBER,
        group=(pa.string(), "pruning group, named after the first of its parameters"),
        channels=(pa.int64(), "channels of the group in the baseline"),
        kept=(pa.int64(), "channels of the group in the pruned model"),
        ratio=(pa.float64(), "fraction of the channels removed, 0 to below 1"),
    ),
    "sensitivity": _schema(
        "One row for each group and ratio: that group alone pruned, without training.",
        **columns_of(Sensitivity),
    ),
    "latency": _schema(
        "One row for each reading of the latency probe.",
        number=(pa.int64(), "number of the trial; null for readings outside trials"),
        stage=(
            pa.string(),
            "what was timed: baseline, reference, table (shapes before the search), shape (a "
            "trial's, before its training), export (a trial's, at its end), final (the delivered "
            "model)",
        ),
        plan=(pa.string(), "the plan as JSON; null where the row has a trial"),
        reused=(pa.bool_(), "whether the reading is that of an equal shape timed earlier"),
        **columns_of(LatencyReading),
    ),
}


def table_columns() -> dict[str, tuple[str, list[tuple[str, str, str]]]]:
    """Return by table its description and its columns: name, type, meaning."""
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
        """Files that could not be read, as "table/name.parquet"; their rows are ignored."""

    def create(self) -> None:
        """Make an empty folder for every table."""
        for table in SCHEMAS:
            (self.folder / table).mkdir(parents=True, exist_ok=True)

    def write(self, table: str, name: str, rows: Iterable[Row]) -> None:
        """Write or replace the rows of one file, whole or not at all.

        Columns that a row lacks are null; a column that the schema lacks is a bug.
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

        A file that cannot be read is ignored, and noted in `damaged`.
        """
        return self.parse(table, lambda row: row)

    def parse(self, table: str, read: Callable[[dict[str, Any]], Parsed]) -> list[Parsed]:
        """Return what `read` makes of each row of a table, without files that it cannot read."""
        found: list[Parsed] = []
        for path in sorted((self.folder / table).glob("[!.]*.parquet")):
            try:
                file = pq.read_table(path, schema=SCHEMAS[table], page_checksum_verification=True)
                found += [read(row) for row in file.to_pylist()]
            except (pa.ArrowException, OSError, ValueError, TypeError, LookupError, AttributeError):
                self.damaged.add(f"{table}/{path.name}")
        return found

    def frame(self, table: str) -> pd.DataFrame:
        """Return a table as a frame with the schema's columns, even if it is empty."""
        columns: list[str] = SCHEMAS[table].names
        frame: pd.DataFrame = pd.DataFrame(self.read(table), columns=columns)
        return frame
