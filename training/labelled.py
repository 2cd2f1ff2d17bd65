"""The histories of a data set under a target and a protocol: split, cut to what the model may see, labelled."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from forewarn.events import DataConfig, History, HistoryStore, given_splits, open_histories
from forewarn.targets import (
    HazardLabels,
    ProtocolConfig,
    SplitAssignment,
    TargetSpec,
    assign_splits,
    label_history,
    summarise,
)

A = TypeVar("A")  # a label array of numpy or torch
Arrays = dict[str, NDArray[Any]]
# What each part of a label holds where there is none: padding, and the context of a window.
NO_LABEL = {"onset": 0, "at_risk": 0, "observed": 0, "label": -1, "value": np.nan}


@dataclass(frozen=True)
class LabelledSplits:
    """The histories of a data set under a target and a protocol, streamed split by split."""

    store: HistoryStore
    target: TargetSpec
    protocol: ProtocolConfig
    assignment: SplitAssignment

    @classmethod
    def open(cls, data: DataConfig, target: TargetSpec, protocol: ProtocolConfig, folder: Path) -> LabelledSplits:
        """Reads the events into `folder` (once) and assigns every history to a split."""
        store = open_histories(data, folder, progress=sys.stderr.isatty())
        given = given_splits(data)
        if given is not None:
            protocol = replace(protocol, name="given", split="given")
        index = [summarise(history, target, protocol) for history in progress(store, "summaries", len(store))]
        found = [summary for summary in index if summary is not None]
        return cls(store, target, protocol, assign_splits(found, protocol, given))

    def histories(self, split: str) -> Iterator[History]:
        """The whole histories of a split, in the order of the store."""
        return (history for history in self.store if self.assignment.split.get(history.history_id) == split)

    def visible(self, split: str) -> Iterator[History]:
        """The histories of a split as the model may see them, at most `max_prefix` events of each."""
        return (seen for _, seen in self.seen(split))

    def labelled(self, split: str) -> Iterator[tuple[History, Arrays]]:
        """Visible histories of a split, each with its label arrays named "<task>.<part>"."""
        for whole, seen in self.seen(split):
            until = self.assignment.observed_until(whole.history_id)
            labels = label_arrays(self.target, label_history(self.target, whole, observed_until=until))
            yield seen, {name: array[: self.protocol.max_prefix] for name, array in labels.items()}

    def seen(self, split: str) -> Iterator[tuple[History, History]]:
        """Whole histories of a split beside what the model may see of them, where that is anything at all."""
        for whole in self.histories(split):
            events = self.target.visible(whole, self.assignment.observed_until(whole.history_id)).events
            if events:
                yield whole, History(whole.history_id, whole.customer_id, events[: self.protocol.max_prefix])


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


def progress(items: Iterable[Any], what: str, total: int | None = None) -> Iterable[Any]:
    """A progress bar over histories, silent where nobody watches."""
    return tqdm(items, desc=what, total=total, unit=" histories", disable=None, leave=False)
