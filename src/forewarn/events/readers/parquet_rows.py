"""Rows of Parquet files, a batch at a time, with the types the file gives its columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

_BATCH_ROWS = 20_000


def parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (row number from 1, values by column name); raises ValueError for no Parquet and for a damaged one."""
    try:
        file = pq.ParquetFile(path)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{path}: found no Parquet file ({error}), expected one; name it by its format") from error
    number = 0
    batches = file.iter_batches(_BATCH_ROWS)
    while True:
        try:
            batch = next(batches, None)
        except (OSError, pa.ArrowException) as error:
            raise ValueError(
                f"{path}: found a damaged Parquet file after row {number} ({error}), expected a whole one; "
                "write or fetch it again"
            ) from error
        if batch is None:
            return
        # polars gives times as datetime in microseconds; pyarrow would give nanoseconds as another class.
        for row in cast(pl.DataFrame, pl.from_arrow(batch)).iter_rows(named=True):
            number += 1
            yield number, row
