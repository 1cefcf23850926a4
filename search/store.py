"""The parquet tables of a run: explicit schemas, whole files, readable at any moment.

Each table is a folder. A row's file is named after what it is about, so writing it
again replaces it and cannot double it; a temporary name and a rename mean that a
reader, or a crash, never meets half a file. Sole importer of pyarrow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from search.folder import Folder

SCHEMA_VERSION = 3

STAGES = ("prune", "finetune", "quantize", "export", "evaluate", "latency")


def _schema(**fields: pa.DataType) -> pa.Schema:
    columns = [pa.field(name, kind) for name, kind in fields.items()]
    return pa.schema(columns, metadata={"schema_version": str(SCHEMA_VERSION)})


SCHEMAS: dict[str, pa.Schema] = {
    "trials": _schema(
        number=pa.int64(),
        plan_key=pa.string(),
        plan=pa.string(),
        quantization=pa.string(),
        origin=pa.string(),
        state=pa.string(),
        reason=pa.string(),
        feasible=pa.bool_(),
        metric=pa.float64(),
        metric_loss=pa.float64(),
        standard_error=pa.float64(),
        latency_ms=pa.float64(),
        baseline_latency_ms=pa.float64(),
        latency_ratio=pa.float64(),
        size_bytes=pa.int64(),
        export_difference=pa.float64(),
        started_at=pa.timestamp("ms", tz="UTC"),
        wall_s=pa.float64(),
        retries=pa.int64(),
        lost_s=pa.float64(),
        worker=pa.string(),
        **{f"{stage}_s": pa.float64() for stage in STAGES},
        schema_version=pa.int64(),
    ),
    "measurements": _schema(
        number=pa.int64(),
        stage=pa.string(),
        rung=pa.int64(),
        fidelity=pa.float64(),
        metric=pa.float64(),
        metric_loss=pa.float64(),
        standard_error=pa.float64(),
        train_loss=pa.float64(),
        schema_version=pa.int64(),
    ),
    "ratios": _schema(
        number=pa.int64(),
        group=pa.string(),
        channels=pa.int64(),
        kept=pa.int64(),
        ratio=pa.float64(),
        schema_version=pa.int64(),
    ),
    "sensitivity": _schema(
        group=pa.string(),
        ratio=pa.float64(),
        metric=pa.float64(),
        metric_loss=pa.float64(),
        schema_version=pa.int64(),
    ),
    "latency": _schema(
        number=pa.int64(),
        stage=pa.string(),
        plan=pa.string(),
        latency_ms=pa.float64(),
        baseline_latency_ms=pa.float64(),
        ratio=pa.float64(),
        ratio_spread=pa.float64(),
        run_ms=pa.float64(),
        rounds=pa.int64(),
        batch_size=pa.int64(),
        threads=pa.int64(),
        reused=pa.bool_(),
        schema_version=pa.int64(),
    ),
}

Row = Mapping[str, Any]


class Store:
    """The tables of one run folder."""

    def __init__(self, folder: Path | Folder) -> None:
        self._kept = folder if isinstance(folder, Folder) else Folder(folder)
        self.folder = self._kept.path

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
            self._kept.drop(file)
            return
        buffer = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(complete, schema=schema), buffer)
        self._kept.keep(file, buffer.getvalue().to_pybytes())

    def read(self, table: str) -> list[dict[str, Any]]:
        """Return all rows of a table, file by file in order of name; null is None."""
        rows: list[dict[str, Any]] = []
        for path in sorted((self.folder / table).glob("[!.]*.parquet")):
            rows += pq.read_table(path, schema=SCHEMAS[table]).to_pylist()
        return rows

    def frame(self, table: str) -> pd.DataFrame:
        """Return a table as a frame with the schema's columns, also when it is empty."""
        columns: list[str] = SCHEMAS[table].names
        frame: pd.DataFrame = pd.DataFrame(self.read(table), columns=columns)
        return frame
