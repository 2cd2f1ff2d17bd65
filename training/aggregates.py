"""Prefixes as flat feature rows: the information the transformer has, summed up for models that know no order.

Per categorical field the last and the previous token, how many distinct ones and how many changes so far; per numeric
field the last known value, its change, and mean, largest and smallest so far; the number of events and the distance in
rotary time; of the texts the last and the mean vector, reduced to 32 components fitted on training texts.
Row i depends on events 0..i only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forewarn.sequence import EncodedHistory
from forewarn.targets import HazardLabels, TaskLabels
from training.text_components import TextComponents

Float32s = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Rows:
    """Histories of one split with one task's labels, and which of their prefixes count.

    ``labels[i]`` belongs to ``histories[i]`` and has its length T; ``masks[i]`` is bool [T], None counts every prefix.
    ``cases[i]`` and ``prefixes[i]`` [T] number each row's case and count its events so far, where a history holds
    several cases or is but a window; None takes each history for one whole case. Everything here and every prediction
    is in this order: history by history, prefix by prefix, masked ones left out.
    """

    histories: Sequence[EncodedHistory]
    labels: Sequence[TaskLabels]
    masks: Sequence[NDArray[np.bool_]] | None = None
    cases: Sequence[NDArray[np.integer]] | None = None
    prefixes: Sequence[NDArray[np.integer]] | None = None

    def keep(self) -> NDArray[np.bool_]:
        """Which of all prefixes count, bool [sum of T]."""
        if self.masks is None:
            return np.ones(sum(history.length for history in self.histories), bool)
        return np.concatenate([np.zeros(0, bool), *self.masks])

    def label(self) -> TaskLabels:
        """The labels of the N rows that count."""
        keep = self.keep()
        hazards = [label for label in self.labels if isinstance(label, HazardLabels)]
        if hazards:
            onset = np.concatenate([label.onset for label in hazards])[keep]
            at_risk = np.concatenate([label.at_risk for label in hazards])[keep]
            observed = [label.observed for label in hazards if label.observed is not None]
            whole = np.concatenate(observed)[keep] if len(observed) == len(hazards) else None
            return HazardLabels(onset, at_risk, whole)
        return np.concatenate([label for label in self.labels if isinstance(label, np.ndarray)])[keep]

    def prefix(self) -> NDArray[np.int64]:
        """Number of events of its case so far for each of the N rows, from 1; 0 for an event without case."""
        counted = self.prefixes or [np.arange(1, history.length + 1) for history in self.histories]
        return np.concatenate(counted).astype(np.int64)[self.keep()]

    def clusters(self) -> NDArray[np.int64]:
        """Number of its history for each of the N rows; windows of one history share it."""
        _, number = np.unique([history.history_id for history in self.histories], return_inverse=True)
        return np.repeat(number, [history.length for history in self.histories])[self.keep()]

    def case(self) -> NDArray[np.int64]:
        """Number of its case for each of the N rows, among those of all histories."""
        if self.cases is None:
            return self.clusters()
        within = np.concatenate(self.cases).astype(np.int64)[self.keep()]
        pairs = np.stack([self.clusters(), within], axis=1)
        return np.unique(pairs, axis=0, return_inverse=True)[1].ravel()


class Aggregates:
    """Turns rows into features float32 [N, D]; ``categorical`` are the columns that hold tokens, the first ones."""

    def __init__(self, train: Rows, seed: int) -> None:
        first = train.histories[0]
        self._texts = TextComponents.fit(train.histories, seed)
        width = 0 if self._texts is None else self._texts.width
        fields, numbers = first.categorical.shape[1], first.numeric.shape[1]
        self.categorical = list(range(2 * fields))
        # Named for the rule baseline, which must stay a sentence: text components are no sentence.
        self.readable = list(range(2 * fields, 4 * fields + 5 * numbers + 3))
        self.width = 4 * fields + 5 * numbers + 3 + 2 * width
        self._last: tuple[Rows, Float32s] | None = None

    def __call__(self, rows: Rows) -> Float32s:
        """Features of the rows that count; the latest result is kept, as several models ask for the same."""
        if self._last is None or self._last[0] is not rows:
            blocks = [self._history(history) for history in rows.histories]
            self._last = rows, np.concatenate([np.zeros((0, self.width), np.float32), *blocks])[rows.keep()]
        return self._last[1]

    def _history(self, history: EncodedHistory) -> Float32s:
        position = history.position[:, None]
        parts = [
            *_categorical(history.categorical),
            *_numeric(history.numeric),
            np.arange(1, history.length + 1)[:, None],
            position - position[:1],
            np.diff(position, axis=0, prepend=position[:1]),
        ]
        if self._texts is not None:
            parts += self._text(history, self._texts(history))
        return np.concatenate(parts, axis=1, dtype=np.float32)

    def _text(self, history: EncodedHistory, components_UD: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        vectors = np.concatenate([np.zeros((1, components_UD.shape[1])), components_UD])
        spoken = history.text_index > 0
        total = np.cumsum(vectors[history.text_index], axis=0)
        count = np.cumsum(spoken)[:, None]
        last = vectors[history.text_index[_latest(spoken)]]
        silent = count[:, 0] == 0
        mean = total / np.maximum(count, 1)
        last[silent] = mean[silent] = np.nan
        return [last, mean]


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
    last = np.take_along_axis(value_TF, _latest(known), axis=0)
    change = np.diff(last, axis=0, prepend=np.full_like(last[:1], np.nan))
    total = np.cumsum(np.where(known, value_TF, 0.0), axis=0, dtype=np.float64)
    count = np.cumsum(known, axis=0)
    mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return [last, change, mean, np.fmax.accumulate(value_TF, axis=0), np.fmin.accumulate(value_TF, axis=0)]


def _latest(known: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Row of the latest true entry so far, the first row before there is one; same shape."""
    rows = np.arange(len(known)).reshape(-1, *[1] * (known.ndim - 1))
    return np.maximum.accumulate(np.where(known, rows, 0), axis=0)
