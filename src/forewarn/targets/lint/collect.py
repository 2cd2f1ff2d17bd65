"""Histories into the table that the checks read, in one pass."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from forewarn.events import Event, History, as_text
from forewarn.targets.lint.measures import Floats
from forewarn.targets.lint.names import EDITED, ERASE, MERGE, words
from forewarn.targets.lint.row_labels import LabelCollector
from forewarn.targets.lint.table import Column, Inputs, LintTable
from forewarn.targets.predicate import as_number
from forewarn.targets.protocol import ProtocolConfig
from forewarn.targets.spec import TargetSpec
from forewarn.targets.splits import SplitAssignment


def collect(
    histories: Iterable[History],
    target: TargetSpec,
    protocol: ProtocolConfig,
    assignment: SplitAssignment,
    inputs: Inputs,
    *,
    by: str = "customer_id",
    clock: bool = True,
    most_events: int = 500_000,
) -> LintTable:
    """The table of some whole histories; those without a split are passed over, and so is what comes after
    ``most_events`` events. Raises ValueError when nothing is left."""
    collector = _Collector(target, protocol, assignment, inputs)
    for history in histories:
        if assignment.split.get(history.history_id, "dropped") != "dropped":
            collector.add(history)
            if collector.events >= most_events:
                break
    return collector.table(by, clock)


class _Collector:
    """Grows the columns of the table history by history."""

    def __init__(
        self, target: TargetSpec, protocol: ProtocolConfig, assignment: SplitAssignment, inputs: Inputs
    ) -> None:
        self.target, self.protocol, self.assignment = target, protocol, assignment
        self.categories = {name: _Categories() for name in inputs.categorical}
        if inputs.text:
            self.categories["text"] = _Categories()
        self.numbers: dict[str, list[float]] = {name: [] for name in inputs.numeric}
        self.evidence = {name: _Categories() for name in sorted(target.evidence_fields() - set(inputs.categorical))}
        self.edited: dict[str, dict[int, float]] = {}
        self.texts: list[bool] = []
        self.times: list[tuple[float, float]] = []
        self.bounds: list[int] = [0]
        self.view: list[np.ndarray] = []
        self.visible: list[np.ndarray] = []  # of all events of each history
        self.of_history: list[tuple[str, str, str, float, int, bool, bool]] = []
        self.labels = LabelCollector(target, protocol)
        self.owner: dict[int, int] = {}
        self.repeated = 0
        self.cases: dict[str, str | None] = {}  # case -> its customer, None once several histories claim it
        self._editing: dict[str, bool] = {}
        self._types: dict[str, tuple[bool, bool]] = {}

    @property
    def events(self) -> int:
        return self.bounds[-1]

    def add(self, whole: History) -> None:
        hidden_T = None if self.target.exclude_events is None else self.target.exclude_events(whole.events)
        rows = np.arange(len(whole.events)) if hidden_T is None else np.flatnonzero(~hidden_T)
        if not len(rows):
            return
        for name, categories in (self.categories | self.evidence).items():
            categories.extend(event.value(name) for event in whole.events)
        for name, column in self.numbers.items():
            values = (as_number(event.attributes.get(name)) for event in whole.events)
            column.extend(np.nan if value is None else value for value in values)
        self.visible.append(np.ones(len(whole.events), bool) if hidden_T is None else ~hidden_T)
        self._add_events([whole.events[i] for i in rows.tolist()])
        self.view.append(self.labels.add(whole, rows, self.assignment.observed_until(whole.history_id)))
        self._add_history(whole)
        self.bounds.append(self.events + len(rows))

    def _add_events(self, visible: list[Event]) -> None:
        for row, event in enumerate(visible, start=self.events):
            self.texts.append(bool(event.text))
            self.times.append((event.occurred_at.timestamp(), event.ingested_at.timestamp()))
            for name, value in event.attributes.items():
                if name not in self._editing:
                    self._editing[name] = bool(words(name) & EDITED)
                if self._editing[name] and isinstance(value, float):
                    self.edited.setdefault(name, {})[row] = value

    def _add_history(self, whole: History) -> None:
        number = len(self.of_history)
        erased = merged = False
        for event in whole.events:
            key = hash((event.source, event.event_id))
            self.repeated += self.owner.setdefault(key, number) != number
            if event.type not in self._types:
                said = words(event.type)
                self._types[event.type] = bool(said & ERASE), bool(said & MERGE)
            was_erased, was_merged = self._types[event.type]
            erased, merged = erased or was_erased, merged or was_merged
        for case in {event.case_id for event in whole.events if event.case_id is not None}:
            if self.cases.setdefault(case, whole.customer_id) != whole.customer_id:
                self.cases[case] = None
        end = whole.events[-1].ingested_at.timestamp()
        customers = len({event.customer_id for event in whole.events})
        split = self.assignment.split[whole.history_id]
        self.of_history.append((whole.history_id, split, whole.customer_id, end, customers, erased, merged))

    def table(self, by: str, clock: bool) -> LintTable:
        if not self.of_history:
            raise ValueError("lint: found no history in any split, expected at least one; check target and protocol")
        ids, split, customer, end, customers, erased, merged = zip(*self.of_history, strict=True)
        occurred_N, ingested_N = np.array(self.times).T
        whole = {name: categories.column() for name, categories in self.categories.items()}
        whole |= {name: Column.of_numbers(np.array(column)) for name, column in self.numbers.items()}
        visible_M = np.concatenate(self.visible)
        return LintTable(
            self.target,
            self.protocol,
            self.assignment,
            clock,
            by,
            np.array(self.bounds),
            list(ids),
            np.array(split),
            list(customer),
            np.array(end),
            np.array(customers),
            np.array(erased),
            np.array(merged),
            occurred_N,
            ingested_N,
            np.concatenate(self.view),
            {name: column.take(visible_M) for name, column in whole.items()},
            whole,
            {name: categories.column(numbers=True) for name, categories in self.evidence.items()},
            {name: _spread(values, self.events) for name, values in self.edited.items()},
            np.repeat(np.arange(len(ids)), [len(visible) for visible in self.visible]),
            np.array(self.texts),
            self.labels.row_labels(),
            self.repeated,
            sum(owner is None for owner in self.cases.values()),
            len(self.cases),
        )


class _Categories:
    """A categorical column being read."""

    def __init__(self) -> None:
        self._codes: dict[object, int] = {None: -1}
        self._read: list[int] = []
        self._names: dict[str, int] = {}

    def extend(self, values: Iterable[object]) -> None:
        codes = self._codes
        for value in values:
            code = codes.get(value)
            if code is None:
                code = codes[value] = self._names.setdefault(as_text(value), len(self._names))
            self._read.append(code)

    def column(self, *, numbers: bool = False) -> Column:
        """The column; with ``numbers`` a numeric one where every value says a number."""
        told = [as_number(name) for name in self._names]
        if numbers and told and None not in told:
            value = np.array([*told, np.nan], np.float64)  # code -1 is missing
            return Column.of_numbers(value[np.array(self._read, np.int64)])
        return Column(np.array(self._read, np.int64), list(self._names))


def _spread(values: dict[int, float], length: int) -> Floats:
    value_N = np.full(length, np.nan)
    value_N[list(values)] = list(values.values())
    return value_N
