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
    """Yield (row number from 1, values by column name); raises ValueError for a file that is no Parquet."""
    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{path}: found no Parquet file ({error}), expected one; name it by its format") from error
    number = 0
    for batch in file.iter_batches(_BATCH_ROWS):
        # polars gives times as datetime in microseconds; pyarrow would give nanoseconds as another class.
        for row in cast(pl.DataFrame, pl.from_arrow(batch)).iter_rows(named=True):
            number += 1
            yield number, row
