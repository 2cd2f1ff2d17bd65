"""A history's prefixes as flat feature rows, for models that know no order: one code path of training and serving.

Columns, in order, [T, A] in all, of C categorical and F numeric fields
- C each: last token, previous token plus one (0 at first), distinct tokens so far, changes so far, distance in rotary
  time since the token last changed;
- F each: last known value, its change against the known value before, mean, largest and smallest so far;
- 1 each: events so far, distance in rotary time since the first event and since the one before.

Row i depends on events 0..i only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_PER_CATEGORICAL, _TOKENS, _PER_NUMERIC, _OF_HISTORY = 5, 2, 5, 3


def aggregate_width(fields: int, numbers: int) -> int:
    """Number of columns A for C categorical and F numeric fields."""
    return _PER_CATEGORICAL * fields + _PER_NUMERIC * numbers + _OF_HISTORY


def token_columns(fields: int) -> int:
    """How many columns, the first ones, hold tokens; all others are numbers."""
    return _TOKENS * fields


def aggregate(
    token_TC: NDArray[np.int32], value_TF: NDArray[np.float32], position_T: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The columns above, float32 [T, A], from the arrays of an `EncodedHistory`; NaN where a value is not known yet."""
    position = position_T[:, None]
    parts = [
        *_categorical(token_TC, position),
        *_numeric(value_TF),
        np.arange(1, len(position) + 1)[:, None],
        position - position[:1],
        np.diff(position, axis=0, prepend=position[:1]),
    ]
    return np.concatenate(parts, axis=1, dtype=np.float32)


def latest(known: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Row of the latest true entry so far, the first row before there is one; same shape."""
    rows = np.arange(len(known)).reshape(-1, *[1] * (known.ndim - 1))
    return np.maximum.accumulate(np.where(known, rows, 0), axis=0)


def _categorical(token_TC: NDArray[np.int32], position_T1: NDArray[np.float32]) -> list[NDArray[np.generic]]:
    previous = np.concatenate([np.zeros_like(token_TC[:1]), token_TC[:-1] + 1])
    changed = token_TC != np.concatenate([token_TC[:1], token_TC[:-1]])
    order = np.argsort(token_TC, axis=0, kind="stable")
    ranked = np.take_along_axis(token_TC, order, axis=0)
    first = np.ones(token_TC.shape, bool)
    first[1:] = ranked[1:] != ranked[:-1]
    new = np.empty_like(first)
    np.put_along_axis(new, order, first, axis=0)
    since = position_T1 - position_T1[latest(changed), 0]
    return [token_TC, previous, np.cumsum(new, axis=0), np.cumsum(changed, axis=0), since]


def _numeric(value_TF: NDArray[np.float32]) -> list[NDArray[np.generic]]:
    known = ~np.isnan(value_TF)
    last = np.take_along_axis(value_TF, latest(known), axis=0)
    change = np.diff(last, axis=0, prepend=np.full_like(last[:1], np.nan))
    total = np.cumsum(np.where(known, value_TF, 0.0), axis=0, dtype=np.float64)
    count = np.cumsum(known, axis=0)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return [last, change, mean, np.fmax.accumulate(value_TF, axis=0), np.fmin.accumulate(value_TF, axis=0)]
