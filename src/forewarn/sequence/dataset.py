"""Ragged columnar dataset in one Arrow IPC file, memory-mapped: larger than memory, no copy until a row is read.

A row is one window of one history; a column is one named array per row, [N, ...] with a fixed trailing shape and its
own N (events for most, distinct texts for the text vectors). Files appear under their name only when complete.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

_BATCH_ROWS = 1_024
_ID = "history_id"
_META = b"forewarn.columns"


class RaggedWriter:
    """Writes rows of named arrays; the first row fixes every column's dtype and trailing shape."""

    def __init__(self, path: Path) -> None:
        self.path, self._partial = path, path.with_name(path.name + ".partial")
        self._rows: list[tuple[str, dict[str, NDArray[Any]]]] = []
        self._writer: pa.RecordBatchFileWriter | None = None
        self._columns: dict[str, tuple[str, list[int]]] = {}
        self.length = 0

    def add(self, history_id: str, arrays: dict[str, NDArray[Any]]) -> None:
        """Appends one row."""
        self._rows.append((history_id, arrays))
        self.length += 1
        if len(self._rows) == _BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        if not self._columns:
            self._columns = {name: (a.dtype.str, list(a.shape[1:])) for name, a in self._rows[0][1].items()}
        ids, columns = pa.array([row_id for row_id, _ in self._rows], pa.string()), []
        for name, (dtype, shape) in self._columns.items():
            parts = [arrays[name] for _, arrays in self._rows]
            flat = np.concatenate(parts).astype(dtype, copy=False)
            per_item = int(np.prod(shape, dtype=np.int64))
            offsets = np.cumsum([0, *(len(part) * per_item for part in parts)], dtype=np.int64)
            columns.append(pa.LargeListArray.from_arrays(offsets, pa.array(flat.reshape(-1))))
        batch = pa.RecordBatch.from_arrays([ids, *columns], [_ID, *self._columns])
        batch = batch.replace_schema_metadata({_META: json.dumps(self._columns).encode()})
        if self._writer is None:
            self._writer = pa.ipc.new_file(str(self._partial), batch.schema)
        self._writer.write_batch(batch)
        self._rows.clear()

    def close(self) -> None:
        """Finishes the file and gives it its name; an empty dataset is a ValueError."""
        self._flush()
        if self._writer is None:
            raise ValueError(f"{self.path.name}: found no history, expected at least one; check the split and filters")
        self._writer.close()
        self._partial.replace(self.path)

    def __enter__(self) -> RaggedWriter:
        return self

    def __exit__(self, error: type[BaseException] | None, value: BaseException | None, _: TracebackType | None) -> None:
        if error is None:
            self.close()
        else:
            if self._writer is not None:
                self._writer.close()
            self._partial.unlink(missing_ok=True)


class RaggedDataset:
    """Reads rows of a `RaggedWriter` file; safe to pickle, so that data-loading processes can open it themselves."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = pa.ipc.open_file(pa.memory_map(str(path)))
        metadata = self._file.schema.metadata or {}
        if _META not in metadata:
            raise ValueError(f"{path}: expected an Arrow file written by RaggedWriter; rebuild the dataset")
        self._columns: dict[str, tuple[str, list[int]]] = json.loads(metadata[_META])
        self._batches = [self._file.get_batch(i) for i in range(self._file.num_record_batches)]
        self._starts = np.cumsum([0, *(len(batch) for batch in self._batches)]).tolist()
        self._views = [
            {
                name: (
                    batch.column(name).offsets.to_numpy() // max(int(np.prod(shape, dtype=np.int64)), 1),
                    batch.column(name).values.to_numpy(zero_copy_only=True).view(dtype).reshape(-1, *shape),
                )
                for name, (dtype, shape) in self._columns.items()
                if np.prod(shape, dtype=np.int64) > 0
            }
            for batch in self._batches
        ]

    def __len__(self) -> int:
        return int(self._starts[-1])

    def lengths(self, column: str) -> NDArray[np.int64]:
        """Number of items of `column` in every row."""
        return np.concatenate([np.diff(views[column][0]) for views in self._views])

    def __getitem__(self, index: int) -> tuple[str, dict[str, NDArray[Any]]]:
        """The row's history id and its arrays (read-only views of the mapped file)."""
        part = bisect_right(self._starts, index) - 1
        row = index - self._starts[part]
        arrays: dict[str, NDArray[Any]] = {}
        for name, (dtype, shape) in self._columns.items():
            view = self._views[part].get(name)
            if view is None:  # a column of width 0, such as the text vectors of a data set without text
                arrays[name] = np.empty((0, *shape), dtype=dtype)
            else:
                arrays[name] = view[1][view[0][row] : view[0][row + 1]]
        return self._batches[part].column(_ID)[row].as_py(), arrays

    def joined(self, indices: Sequence[int]) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[np.int64]]]:
        """The arrays of many rows, each column's one behind the other in one array, and its number of items per row."""
        places = [(bisect_right(self._starts, index) - 1, index) for index in indices]
        rows = [(self._views[part], index - self._starts[part]) for part, index in places]
        arrays: dict[str, NDArray[Any]] = {}
        lengths: dict[str, NDArray[np.int64]] = {}
        for name, (dtype, shape) in self._columns.items():
            if name not in rows[0][0]:  # a column of width 0
                arrays[name], lengths[name] = np.empty((0, *shape), dtype=dtype), np.zeros(len(rows), dtype=np.int64)
                continue
            parts = [values[offsets[row] : offsets[row + 1]] for view, row in rows for offsets, values in (view[name],)]
            arrays[name], lengths[name] = np.concatenate(parts), np.array([len(part) for part in parts])
        return arrays, lengths

    def __reduce__(self) -> tuple[type[RaggedDataset], tuple[Path]]:
        return RaggedDataset, (self.path,)
