"""The table that every check reads: a sample of histories as columns, beside their labels and their evidence.

H histories, N events that the target does not hide (of all histories, end to end), M events of all. Columns hold the
fields that the model would see. Labels are those of the rows that train or test, NaN elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from forewarn.targets.lint.measures import Codes, Floats, binned
from forewarn.targets.lint.names import words
from forewarn.targets.protocol import ProtocolConfig
from forewarn.targets.spec import TargetSpec
from forewarn.targets.splits import SplitAssignment
from forewarn.targets.tasks import HazardTask, Task

LEAST = 30  # histories below which no share or correlation is worth a word
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Inputs:
    """The fields that the model sees."""

    categorical: list[str]
    numeric: list[str]
    text: bool


@dataclass(frozen=True)
class Column:
    """One field: codes [N] into ``values`` with -1 for missing, and for a number also ``number`` (NaN missing)."""

    code: Codes
    values: list[str]
    number: Floats | None = None

    @property
    def known(self) -> Mask:
        """Where the field has a value."""
        return self.code >= 0

    def says(self, hints: frozenset[str]) -> Mask:
        """Where the value, not a number, holds one of these words [N]."""
        flags = np.array([*(bool(words(value) & hints) for value in self.values), False])
        return flags[self.code] if self.number is None else np.zeros(len(self.code), bool)  # -1 is missing

    def take(self, rows: Mask) -> Column:
        """The same field on some of the rows."""
        return Column(self.code[rows], self.values, None if self.number is None else self.number[rows])

    @classmethod
    def of_numbers(cls, number_N: Floats) -> Column:
        """A numeric column."""
        return cls(binned(number_N), [], number_N)


@dataclass(frozen=True)
class RowLabels:
    """Labels of one task: ``value`` (NaN unknown) is 0 or 1, a class number, or a number, as ``task.kind`` says.

    A hazard's label is an onset within its longest horizon. ``ahead_s`` and ``ahead_events`` tell how far the
    evidence of the label lies ahead of each row: 0 or less when it is already there, inf when there is none, NaN
    when the data does not say when the label was decided (a verdict that every event of a history repeats).
    """

    task: Task
    value: Floats
    ahead_s: Floats
    ahead_events: Floats

    @property
    def binary(self) -> bool:
        """Whether labels are 0 or 1."""
        return isinstance(self.task, HazardTask)

    @property
    def final(self) -> bool:
        """Whether every row of a history carries the verdict of its last event."""
        return isinstance(self.task, HazardTask) and self.task.at == "last"


@dataclass(frozen=True)
class LintTable:
    """A sample of histories under a target and a protocol, as the model would see them."""

    target: TargetSpec
    protocol: ProtocolConfig
    assignment: SplitAssignment
    clock: bool  # False: rows have no time of their own
    by: str  # field that makes a history
    bounds: Codes  # [H+1], first row of each history
    ids: list[str]  # [H]
    split: NDArray[np.str_]  # [H]
    customer: list[str]  # [H]
    end: Floats  # [H], epoch seconds at which the last event of all became visible
    customers: Codes  # [H], distinct customer ids among the events of a history
    erased: Mask  # [H]
    merged: Mask  # [H]
    occurred: Floats  # [N], epoch seconds
    ingested: Floats  # [N]
    view: Mask  # [N], rows that the model sees: up to the end of observation and the longest prefix
    columns: dict[str, Column]  # the inputs
    whole_columns: dict[str, Column]  # the inputs on all M events, those that the target hides among them
    evidence: dict[str, Column]  # likewise, the fields that decide a label; never inputs
    edited: dict[str, Floats]  # [N], attributes that hold a time of editing, whether inputs or not
    whole_history: Codes  # [M], the history of each of all events
    texts: Mask  # [N], rows that carry a text
    labels: dict[str, RowLabels]  # by task
    repeated_events: int = 0  # events whose (source, event_id) another history has too
    shared_cases: int = 0  # cases that several histories with different customers claim
    cases: int = 0

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @cached_property
    def length(self) -> Codes:
        """Events of each history that the target does not hide."""
        return np.diff(self.bounds)

    @cached_property
    def history(self) -> Codes:
        """The history of each row."""
        return np.repeat(np.arange(len(self)), self.length)

    @cached_property
    def start(self) -> Floats:
        """Epoch seconds at which each history became visible."""
        return self.ingested[self.bounds[:-1]]

    @cached_property
    def fold(self) -> Mask:
        """Two halves of the histories; their order is by hash, so every second one is a random half."""
        even: Mask = np.arange(len(self)) % 2 == 0
        return even

    @cached_property
    def learns(self) -> Mask:
        """Rows of the training and validation histories that the model sees."""
        learning: Mask = np.isin(self.split, ("train", "valid"))
        return learning[self.history] & self.view

    def labelled(self, labels: RowLabels, *, learning: bool = True) -> Codes:
        """Positions of the rows with a label, by default of training and validation alone."""
        return np.flatnonzero(np.isfinite(labels.value) & (self.learns if learning else self.view))

    def history_labels(self, labels: RowLabels) -> Floats:
        """The label of each history [H] at its first labelled row, NaN without one; of all splits."""
        value_H = np.full(len(self), np.nan)
        rows = self.labelled(labels, learning=False)
        owners, first = np.unique(self.history[rows], return_index=True)
        value_H[owners] = labels.value[rows[first]]
        return value_H

    def firsts(self, column: Column) -> tuple[Codes, Codes]:
        """The histories that carry a field, and the first row of each that does."""
        rows = np.flatnonzero(column.known)
        owners, first = np.unique(self.history[rows], return_index=True)
        return owners, rows[first]

    def constants(self, column: Column, least_events: int = 3) -> tuple[Codes, Codes, float]:
        """Histories that carry a field on ``least_events`` or more, their first such row, and the share that never
        sees its value change."""
        rows = np.flatnonzero(column.known)
        owners, first, counts = np.unique(self.history[rows], return_index=True, return_counts=True)
        values = column.code if column.number is None else column.number
        same_N = values[rows] == values[rows[np.repeat(first, counts)]]
        same_O = np.logical_and.reduceat(same_N, first) if len(first) else np.zeros(0, bool)
        long = counts >= least_events
        return owners[long], rows[first[long]], float(same_O[long].mean()) if long.any() else 0.0

    def names(self) -> Iterator[tuple[str, Column]]:
        """Every input but the text, by name."""
        return ((name, column) for name, column in self.columns.items() if name != "text")

    def hazards(self) -> Iterator[RowLabels]:
        """The labels of the hazard tasks."""
        return (labels for labels in self.labels.values() if labels.binary)
