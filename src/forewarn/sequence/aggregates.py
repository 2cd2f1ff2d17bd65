"""A prefix as one flat row: what a model that knows no order reads beside, or in place of, the sequence.

Per categorical field the last and the previous token, how many distinct ones and how many changes so far; per numeric
field the last known value, its change, and mean, largest and smallest so far; the number of events and the distance in
rotary time. Row i depends on events 0..i only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from forewarn.sequence.encoded import EncodedHistory

AGGREGATES = "aggregates"  # the graph's input that holds them, where it has one
Float32s = NDArray[np.float32]


def aggregate_width(fields: int, numbers: int) -> int:
    """Columns of `aggregates` for so many categorical and numeric fields; the first 2 x `fields` hold tokens."""
    return 4 * fields + 5 * numbers + 3


def collate_aggregates(batch: Sequence[EncodedHistory]) -> Float32s:
    """The aggregates of a batch, right-padded with 0 like the graph's other inputs: float32 [B, T, A]."""
    parts = [aggregates(history) for history in batch]
    padded = np.zeros((len(parts), max(map(len, parts)), parts[0].shape[1]), np.float32)
    for row, own in enumerate(parts):
        padded[row, : len(own)] = own
    return padded


def aggregates(history: EncodedHistory) -> Float32s:
    """The aggregates float32 [T, A] after every event of a history, NaN where there is none."""
    position = history.position[:, None]
    parts = [
        *_categorical(history.categorical),
        *_numeric(history.numeric),
        np.arange(1, history.length + 1)[:, None],
        position - position[:1],
        np.diff(position, axis=0, prepend=position[:1]),
    ]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def _categorical(token_TC: NDArray[np.int32]) -> list[NDArray[np.int32] | NDArray[np.int64]]:
    """Last token, previous token plus one (0 at first), distinct tokens so far, changes so far; [T, C] each."""
    previous = np.concatenate([np.zeros_like(token_TC[:1]), token_TC[:-1] + 1])
    changed = token_TC != np.concatenate([token_TC[:1], token_TC[:-1]])
    order = np.argsort(token_TC, axis=0, kind="stable")
    ranked = np.take_along_axis(token_TC, order, axis=0)
    first = np.ones(token_TC.shape, bool)
    first[1:] = ranked[1:] != ranked[:-1]
    new = np.empty_like(first)
    np.put_along_axis(new, order, first, axis=0)
    return [token_TC, previous, np.cumsum(new, axis=0), np.cumsum(changed, axis=0)]


def _numeric(value_TF: Float32s) -> list[NDArray[np.floating]]:
    """Last known value, its change against the known value before, mean, largest and smallest so far; [T, F] each."""
    known = ~np.isnan(value_TF)
    last = np.take_along_axis(value_TF, latest(known), axis=0)
    change = np.diff(last, axis=0, prepend=np.full_like(last[:1], np.nan))
    total = np.cumsum(np.where(known, value_TF, 0.0), axis=0, dtype=np.float64)
    count = np.cumsum(known, axis=0)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return [last, change, mean, np.fmax.accumulate(value_TF, axis=0), np.fmin.accumulate(value_TF, axis=0)]


def latest(known: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Row of the latest true entry so far, the first row before there is one; same shape."""
    rows = np.arange(len(known)).reshape(-1, *[1] * (known.ndim - 1))
    return np.maximum.accumulate(np.where(known, rows, 0), axis=0)
