"""Labels and the distance to their evidence, for every row of the table."""

from __future__ import annotations

from collections import Counter
from datetime import datetime

import numpy as np

from forewarn.events import History
from forewarn.targets.hazards import HazardLabels
from forewarn.targets.labels import TaskLabels, label_history
from forewarn.targets.lint.measures import Codes, Floats
from forewarn.targets.lint.table import Mask, RowLabels
from forewarn.targets.protocol import ProtocolConfig
from forewarn.targets.spec import TargetSpec
from forewarn.targets.tasks import HazardTask, Task


class LabelCollector:
    """Grows the labels of every task history by history."""

    def __init__(self, target: TargetSpec, protocol: ProtocolConfig) -> None:
        self._target, self._protocol = target, protocol
        self._read: dict[str, list[tuple[Floats, Floats, Floats]]] = {task.name: [] for task in target.tasks}
        # Of the histories with any evidence, how many do not show it on their first event.
        self._dated: dict[str, Counter[bool]] = {task.name: Counter() for task in target.tasks}

    def add(self, whole: History, rows: Codes, until: datetime) -> Mask:
        """Labels the rows (positions of the visible events) of a history; returns which of them the model sees."""
        labels = label_history(self._target, whole, observed_until=until)
        seen_T = np.array([whole.events[i].ingested_at <= until for i in rows.tolist()])
        if self._protocol.max_prefix is not None:
            seen_T[self._protocol.max_prefix :] = False
        seconds = np.array([event.ingested_at.timestamp() for event in whole.events])
        for task in self._target.tasks:
            value_T = np.full(len(rows), np.nan)
            known = _values(labels[task.name])[: int(seen_T.sum())]
            value_T[: len(known)] = known
            ahead_s_T = ahead_events_T = np.full(len(rows), np.nan)
            if isinstance(task, HazardTask):
                flags = task.when(whole.events)
                if flags.any():
                    self._dated[task.name][not flags[0]] += 1
                ahead_s_T, ahead_events_T = _ahead(task, flags, rows, seconds)
            self._read[task.name].append((value_T, ahead_s_T, ahead_events_T))
        return seen_T

    def row_labels(self) -> dict[str, RowLabels]:
        """The labels of all histories added, by task."""
        return {task.name: self._row_labels(task) for task in self._target.tasks}

    def _row_labels(self, task: Task) -> RowLabels:
        value_N, ahead_s_N, ahead_events_N = (
            np.concatenate(parts) for parts in zip(*self._read[task.name], strict=True)
        )
        dated = self._dated[task.name]
        # A verdict that most histories show from their first event on is copied onto all of them: it dates nothing.
        if isinstance(task, HazardTask) and task.at == "last" and dated[False] >= dated[True]:
            ahead_s_N, ahead_events_N = np.full_like(value_N, np.nan), np.full_like(value_N, np.nan)
        return RowLabels(task, value_N, ahead_s_N, ahead_events_N)


def _values(labels: TaskLabels) -> Floats:
    """Labels as numbers [T], NaN where unknown."""
    if isinstance(labels, HazardLabels):
        within_TK, known_TK = labels.cumulative()
        return np.where(known_TK[:, -1], within_TK[:, -1], np.nan)
    if labels.dtype.kind == "i":
        return np.where(labels < 0, np.nan, labels)
    return labels.astype(np.float64)


def _ahead(task: HazardTask, flags: np.ndarray, rows: np.ndarray, seconds: Floats) -> tuple[Floats, Floats]:
    """Seconds and events from each row to its evidence: the next onset, or the first sign of a final verdict."""
    found = np.flatnonzero(flags)
    ahead_s_T, ahead_events_T = np.full(len(rows), np.inf), np.full(len(rows), np.inf)
    if not len(found):
        return ahead_s_T, ahead_events_T
    if task.at == "last":
        # A sign that was taken back is none.
        if not flags[-1]:
            return ahead_s_T, ahead_events_T
        index = np.full(len(rows), found[0])
        has = np.ones(len(rows), bool)
    else:
        following = np.searchsorted(found, rows, side="right")
        has = following < len(found)
        index = found[np.minimum(following, len(found) - 1)]
    ahead_s_T[has] = seconds[index[has]] - seconds[rows[has]]
    # Hidden events count: they are what happened in between.
    ahead_events_T[has] = index[has] - rows[has]
    return ahead_s_T, ahead_events_T
