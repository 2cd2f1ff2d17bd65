"""Rows of a split, and the features of those models that know no order: the information the transformer has.

The features are the columns of `forewarn.sequence.aggregates`, and of the texts so far the last and the mean vector,
reduced to 32 components fitted on training texts. Row i depends on events 0..i only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forewarn.sequence import EncodedHistory, aggregate_width, latest, token_columns
from forewarn.targets import ClassificationTask, HazardLabels, Task, TaskLabels
from training.text_components import TextComponents

Float32s = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Rows:
    """Histories of one split with one task's labels, and which of their prefixes count.

    ``labels[i]`` belongs to ``histories[i]`` and has its length T; ``masks[i]`` is bool [T], None counts every prefix.
    ``cases[i]`` and ``prefixes[i]`` [T] number each row's case and count its events so far, where a history holds
    several cases or is but a window; None takes each history for one whole case. ``weights[i]`` [T] says how much each
    row counts in fitting, None all alike. Everything here and every prediction
    is in this order: history by history, prefix by prefix, masked ones left out.
    """

    histories: Sequence[EncodedHistory]
    labels: Sequence[TaskLabels]
    masks: Sequence[NDArray[np.bool_]] | None = None
    cases: Sequence[NDArray[np.integer]] | None = None
    prefixes: Sequence[NDArray[np.integer]] | None = None
    weights: Sequence[NDArray[np.floating]] | None = None

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

    def weight(self) -> NDArray[np.float64]:
        """How much each of the N rows counts in fitting."""
        if self.weights is None:
            return np.ones(int(self.keep().sum()))
        return np.concatenate(self.weights).astype(np.float64)[self.keep()]

    def targets(self, task: Task) -> list[tuple[NDArray[np.bool_], NDArray[np.generic]]]:
        """What to fit, as (rows with a label [N], their labels): one per horizon of a hazard task, else one."""
        labels = self.label()
        if isinstance(labels, HazardLabels):
            within_NK, known_NK = labels.cumulative()
            return [(known, within[known]) for known, within in zip(known_NK.T, within_NK.T, strict=True)]
        known = labels >= 0 if isinstance(task, ClassificationTask) else np.isfinite(labels)
        return [(known, labels[known])]

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
        tokens, plain = token_columns(fields), aggregate_width(fields, numbers)
        self.categorical = list(range(tokens))
        # Named for the rule baseline, which must stay a sentence: text components are no sentence.
        self.readable = list(range(tokens, plain))
        self.width = plain + 2 * width
        self._last: tuple[Rows, Float32s] | None = None

    def __call__(self, rows: Rows) -> Float32s:
        """Features of the rows that count; the latest result is kept, as several models ask for the same."""
        if self._last is None or self._last[0] is not rows:
            blocks = [self._history(history) for history in rows.histories]
            self._last = rows, np.concatenate([np.zeros((0, self.width), np.float32), *blocks])[rows.keep()]
        return self._last[1]

    def _history(self, history: EncodedHistory) -> Float32s:
        if self._texts is None:
            return history.aggregates()
        texts = self._text(history, self._texts(history))
        return np.concatenate([history.aggregates(), np.concatenate(texts, axis=1)], axis=1, dtype=np.float32)

    def _text(self, history: EncodedHistory, components_UD: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        vectors = np.concatenate([np.zeros((1, components_UD.shape[1])), components_UD])
        spoken = history.text_index > 0
        total = np.cumsum(vectors[history.text_index], axis=0)
        count = np.cumsum(spoken)[:, None]
        last = vectors[history.text_index[latest(spoken)]]
        silent = count[:, 0] == 0
        mean = total / np.maximum(count, 1)
        last[silent] = mean[silent] = np.nan
        return [last, mean]
