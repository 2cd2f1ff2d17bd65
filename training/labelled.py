"""The histories of a data set under a target and a protocol: split, cut to what the model may see, labelled.

Design choices
- With the target's `per` the cases within a history are split, not the history. It then occurs in each split that one
  of its cases belongs to, with the labels of those cases alone; its other events, those of dropped cases too, are what
  was known at the time, and so they are context.
- `max_prefix` limits the labelled rows of a history or case. What follows the last labelled row informs none and goes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from forewarn.events import DataConfig, History, HistoryStore, given_splits, open_histories
from forewarn.targets import (
    Cases,
    HazardLabels,
    HistorySummary,
    ProtocolConfig,
    SplitAssignment,
    TargetSpec,
    assign_splits,
    label_history,
    summarise,
    unit_id,
)
from training.silences import silence_arrays
from training.weights import AGE, LASTED

A = TypeVar("A")  # a label array of numpy or torch
Arrays = dict[str, NDArray[Any]]
# What each part of a label holds where there is none: padding, and the context of a window.
NO_LABEL = {
    "onset": 0, "at_risk": 0, "observed": 0, "label": -1, "value": np.nan, "age": np.inf, "lasted": np.inf,
    "silence": 0, "aged_onset": 0, "aged_at_risk": 0,
    "soft_onset": 0, "soft_at_risk": 0, "soft_label": np.nan, "soft_value": np.nan,
}  # fmt: skip
SOFT = "soft_"  # starts the parts of a label that a teacher gave (soft_labels.py)
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class LabelledSplits:
    """The histories of a data set under a target and a protocol, streamed split by split."""

    store: HistoryStore
    target: TargetSpec
    protocol: ProtocolConfig
    assignment: SplitAssignment
    index: Mapping[str, HistorySummary]

    @classmethod
    def open(cls, data: DataConfig, target: TargetSpec, protocol: ProtocolConfig, folder: Path) -> LabelledSplits:
        """Reads the events into `folder` (once) and assigns every history to a split."""
        if data.clock == "none":
            target.check_clockless()
        return cls.of(open_histories(data, folder, progress=sys.stderr.isatty()), data, target, protocol)

    @classmethod
    def of(cls, store: HistoryStore, data: DataConfig, target: TargetSpec, protocol: ProtocolConfig) -> LabelledSplits:
        """Assigns the histories of a store that was read before."""
        given = given_splits(data)
        if given is not None:
            protocol = replace(protocol, name="given", split="given")
        histories = progress(store, "summaries", len(store))
        index = [summary for history in histories for summary in summarise(history, target, protocol)]
        return cls(
            store, target, protocol, assign_splits(index, protocol, given), {summary.unit: summary for summary in index}
        )

    def units(self, split: str | None = None) -> Iterator[History]:
        """What a split (None: the store) is made of, uncut: histories, or with `per` cases, each as one of its own."""
        for whole in self.store:
            cases = Cases.of(whole.events, self.target.per)
            for case, own in zip(cases.names, cases.events(), strict=True):
                if split is None or self._is(whole, case, split):
                    events = [whole.events[i] for i in own.tolist()]
                    yield History(unit_id(whole.history_id, case), whole.customer_id, events)

    def visible(self, split: str) -> Iterator[History]:
        """The histories of a split as the model may see them, up to their last labelled row."""
        return (seen for _, seen, _, _ in self.seen(split))

    def labelled(self, split: str, *, silences: bool = False) -> Iterator[tuple[History, Arrays]]:
        """Visible histories of a split, each with what is known of its rows, arrays of length T.

        Labels are named "<task>.<part>"; "case" numbers the cases of the history from 0, -1 for none, and "prefix"
        counts the events of the row's case so far. `silences` adds what `training.silences` tells an ageing head.
        """
        until = self.assignment.split_until(split)
        for whole, seen, cases, own in self.seen(split):
            found = label_arrays(self.target, label_history(self.target, whole, observed_until=until))
            if silences:
                found |= silence_arrays(self.target, whole, len(cases.number), self.span_s, until)
            labels = {name: array[: len(own)] for name, array in found.items()}
            labels |= self._sample(whole.history_id, cases, len(own))
            unlabel(labels, ~own)
            about = {"case": cases.number[: len(own)], "prefix": cases.prefix()[: len(own)]}
            yield seen, labels | {name: array.astype(np.int32) for name, array in about.items()}

    @cached_property
    def span_s(self) -> float:
        """Seconds of the data that may be learnt from."""
        learnt = self.assignment.split_until("train")
        return max((learnt - min(summary.start for summary in self.index.values())).total_seconds(), 1.0)

    def _sample(self, history_id: str, cases: Cases, length: int) -> Arrays:
        """When the unit of a row started and how long it lasted: what `training.weights` needs, in days [T]."""
        learnt = self.assignment.learn_until or self.assignment.data_end
        days_C2 = np.full((len(cases.names) + 1, 2), np.inf, np.float32)  # the last row is that of no case
        for number, case in enumerate(cases.names):
            if (summary := self.index.get(unit_id(history_id, case))) is not None:
                days_C2[number] = (learnt - summary.start) / _DAY, (summary.end - summary.start) / _DAY
        return {name: days_C2[cases.number[:length], i] for i, name in enumerate((AGE, LASTED))}

    def _is(self, whole: History, case: str | None, split: str) -> bool:
        return self.assignment.split.get(unit_id(whole.history_id, case)) == split

    def seen(self, split: str) -> Iterator[tuple[History, History, Cases, NDArray[np.bool_]]]:
        """Whole histories of a split, what the model may see of them, its cases, and which rows [T] are the split's.

        Cases are those of all visible events, of which the T up to the last row of the split are kept.
        """
        until = self.assignment.split_until(split)
        longest = self.protocol.max_prefix
        for whole in self.store:
            chosen = {case for case in Cases.of(whole.events, self.target.per).names if self._is(whole, case, split)}
            if not chosen:
                continue
            events = self.target.visible(whole, until).events
            cases = Cases.of(events, self.target.per)
            own = np.isin(cases.number, [number for number, case in enumerate(cases.names) if case in chosen])
            if longest is not None:
                own &= cases.prefix() <= longest
            if own.any():
                length = int(np.flatnonzero(own)[-1]) + 1
                yield whole, History(whole.history_id, whole.customer_id, events[:length]), cases, own[:length]


def unlabel(labels: Arrays, rows: NDArray[np.bool_] | slice) -> None:
    """Takes the labels of some rows away, in place."""
    for name, array in labels.items():
        array[rows] = NO_LABEL[name.rpartition(".")[2]]


def label_arrays(target: TargetSpec, labels: dict[str, Any]) -> Arrays:
    """Labels as arrays: hazard "onset", "at_risk", "observed" [T, K]; classification "label" [T]; else "value" [T]."""
    arrays: Arrays = {}
    for task in target.tasks:
        label = labels[task.name]
        if isinstance(label, HazardLabels):
            arrays[f"{task.name}.onset"] = label.onset
            arrays[f"{task.name}.at_risk"] = label.at_risk.astype(np.uint8)
            assert label.observed is not None
            arrays[f"{task.name}.observed"] = label.observed.astype(np.uint8)
        elif task.kind == "classification":
            arrays[f"{task.name}.label"] = label.astype(np.int32)
        else:
            arrays[f"{task.name}.value"] = label
    return arrays


def labels_of(task: str, arrays: Mapping[str, A]) -> dict[str, A]:
    """The label parts of one task among arrays named "<task>.<part>"."""
    prefix = f"{task}."
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def soft_labels_of(task: str, arrays: Mapping[str, A]) -> dict[str, A]:
    """The label parts of one task as its teacher gave them, named as those of `labels_of`; empty without a teacher."""
    return labels_of(task, {name.replace(f".{SOFT}", "."): a for name, a in arrays.items() if f".{SOFT}" in name})


def progress(items: Iterable[Any], what: str, total: int | None = None) -> Iterable[Any]:
    """A progress bar over histories, silent where nobody watches."""
    return tqdm(items, desc=what, total=total, unit=" histories", disable=None, leave=False)
