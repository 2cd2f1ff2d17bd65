"""The training split in the peer's own format: Parquet, one row per history, one list per field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from forewarn.sequence import RaggedDataset
from training.prepare import Prepared

LABEL = "type"  # the field whose next value is predicted


def export_parquet(prepared: Prepared, path: Path) -> dict[str, Any]:
    """Writes the training split and tells what a worker must know of it.

    Categorical fields as the ids of our vocabularies, numerics as we scale them with 0 for a missing one, and as
    timestamps the positions that our attention sees.
    """
    rows = RaggedDataset(prepared.split("train"))
    arrays, counts = rows.joined(range(len(rows)))
    lengths = counts["position"]
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())

    def lists(values: np.ndarray[Any, Any]) -> pa.ListArray:
        return pa.ListArray.from_arrays(offsets, pa.array(np.ascontiguousarray(values)))

    categorical = dict(zip(prepared.featurizer.vocabularies, prepared.featurizer.cardinalities, strict=True))
    columns: dict[str, Any] = {"id": pa.array([str(index) for index in range(len(rows))])}
    columns["timestamps"] = lists(arrays["position"].astype(np.float64))
    for place, name in enumerate(categorical):
        columns[f"c_{name}"] = lists(arrays["categorical"][:, place].astype(np.int64))
    columns["labels"] = columns[f"c_{LABEL}"]
    numeric = [f"n_{place}" for place in range(arrays["numeric"].shape[1])]
    for place, name in enumerate(numeric):
        columns[name] = lists(np.nan_to_num(arrays["numeric"][:, place]))
    pq.write_table(pa.table(columns), path)
    return {
        "parquet": str(path),
        "categorical": {f"c_{name}": size for name, size in categorical.items()},
        "numeric": numeric,
        "labels": categorical[LABEL],
        "histories": len(lengths),
        "events": int(lengths.sum()),
        "mean_length": round(float(lengths.mean()), 3),
        "longest": int(lengths.max()),
    }
