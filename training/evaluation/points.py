"""Observation points of a split: whose they are, when they were and which onset lies ahead of each.

What a team has to find once is an incident: a case under the target's `per`, else a whole history.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forewarn.events import History
from forewarn.sequence import context_length, windows
from forewarn.targets import Cases, HazardTask, NextOnset, next_onset
from training.labelled import LabelledSplits, progress

MICROSECONDS = 1_000_000
Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class Points:
    """N observation points, history by history in the order of the split; I incidents.

    `counted` [M] tells which rows of a `SplitRows` are points: the rest only give context, to the windows of a long
    history or to the cases of the split. Per point [N] the number of its `history`, its `incident` and its `customer`,
    its `time` in µs since 1970 and its `prefix`, the events of the incident so far; the points of several incidents of
    a history may alternate. Per incident [I] its customer, the last moment it was observed (its own end if that came
    first) and the end of the observation.
    """

    counted: NDArray[np.bool_]
    history: Int64s
    incident: Int64s
    customer: Int64s
    time: Int64s
    prefix: Int64s
    ends: Int64s
    untils: Int64s
    customers: Int64s
    onsets: dict[str, NextOnset]  # per hazard task, [N] each
    clock: bool  # whether times mean anything
    per: str | None  # the field whose value makes an incident, None where each history is one

    @classmethod
    def collect(cls, splits: LabelledSplits, split: str, longest: int, clock: bool) -> Points:
        """Reads the split once; windows have at most `longest` events, as in `write_split`."""
        target, until = splits.target, splits.assignment.split_until(split)
        until_us = round(until.timestamp() * MICROSECONDS)
        hazards = [task for task in target.tasks if isinstance(task, HazardTask)]
        counted, times, prefixes, incidents, names = [], [], [], [], []
        lengths: list[int] = []
        ends: list[int] = []
        onsets: dict[str, list[NextOnset]] = {task.name: [] for task in hazards}
        for whole, seen, cases, own in progress(splits.seen(split), "observation points"):
            for start, stop in windows(len(own), longest):
                counted.append(own[start:stop] & (np.arange(stop - start) >= context_length(start, longest)))
            times.append(event_times_us(seen)[own])
            prefixes.append(cases.prefix()[: len(own)][own])
            lengths.append(len(times[-1]))
            present, number = np.unique(cases.number[: len(own)][own], return_inverse=True)
            incidents.append(len(ends) + number)
            lasts = last_times_us(whole, target.per)
            for case in present.tolist():
                ends.append(min(lasts[cases.names[case]], until_us) if target.complete else until_us)
                names.append(whole.customer_id)
            for task in hazards:
                ahead = next_onset(target, task, whole, observed_until=until)
                parts = (part[: len(own)][own] for part in (ahead.number, ahead.span, ahead.events))
                onsets[task.name].append(NextOnset(*parts))
        incident = np.concatenate(incidents)
        _, customers = np.unique(names, return_inverse=True)
        return cls(
            counted=np.concatenate(counted),
            history=np.repeat(np.arange(len(lengths)), lengths),
            incident=incident,
            customer=customers[incident],
            time=np.concatenate(times),
            prefix=np.concatenate(prefixes),
            ends=np.array(ends),
            untils=np.full(len(ends), until_us),
            customers=customers,
            onsets={name: _joined(parts) for name, parts in onsets.items()},
            clock=clock,
            per=target.per,
        )

    def __len__(self) -> int:
        return len(self.incident)


def event_times_us(history: History) -> Int64s:
    """When each event of a history became known, µs since 1970 [T]."""
    seconds = np.array([event.ingested_at.timestamp() for event in history.events])
    return np.rint(seconds * MICROSECONDS).astype(np.int64)


def last_times_us(history: History, per: str | None) -> dict[str | None, int]:
    """When the last event of each case of a history became known, by the case's name; without `per` that of all."""
    times, cases = event_times_us(history), Cases.of(history.events, per)
    return {name: int(times[own[-1]]) for name, own in zip(cases.names, cases.events(), strict=True)}


def _joined(parts: list[NextOnset]) -> NextOnset:
    return NextOnset(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("number", "span", "events"))
    )
