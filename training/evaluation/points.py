"""Observation points of a split: whose they are, when they were and which onset lies ahead of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forewarn.events import History
from forewarn.sequence import context_length, windows
from forewarn.targets import HazardTask, NextOnset, next_onset
from training.labelled import LabelledSplits, progress

MICROSECONDS = 1_000_000
Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class Points:
    """N observation points, history by history in the order of the split; H histories.

    `counted` [M] tells which rows of a `SplitRows` are points: the rest only give context to the windows of a long
    history. Per point [N] the number of its `history` and `customer`, its `time` in µs since 1970 and its `prefix`,
    the events so far. Per history [H] its customer, the last moment it was observed (its own end if that came first)
    and the end of the observation.
    """

    counted: NDArray[np.bool_]
    history: Int64s
    customer: Int64s
    time: Int64s
    prefix: Int64s
    ends: Int64s
    untils: Int64s
    customers: Int64s
    onsets: dict[str, NextOnset]  # per hazard task, [N] each
    clock: bool  # whether times mean anything

    @classmethod
    def collect(cls, splits: LabelledSplits, split: str, longest: int, clock: bool) -> Points:
        """Reads the split once; windows have at most `longest` events, as in `write_split`.

        Raises ValueError for a target that asks per case: alerts and lead times are those of whole histories.
        """
        if splits.target.per is not None:
            raise ValueError(
                f"report: found per: {splits.target.per} in target {splits.target.name}, expected a target of whole "
                "histories; evaluate with report=false"
            )
        until = splits.assignment.split_until(split)
        hazards = [task for task in splits.target.tasks if isinstance(task, HazardTask)]
        counted, times, ends, untils, names = [], [], [], [], []
        onsets: dict[str, list[NextOnset]] = {task.name: [] for task in hazards}
        for whole, seen, _, _ in progress(splits.seen(split), "observation points"):
            length = len(seen.events)
            for start, stop in windows(length, longest):
                counted.append(np.arange(stop - start) >= context_length(start, longest))
            times.append(event_times_us(seen))
            until_us, last_us = round(until.timestamp() * MICROSECONDS), int(event_times_us(whole)[-1])
            ends.append(min(last_us, until_us) if splits.target.complete else until_us)
            untils.append(until_us)
            names.append(whole.customer_id)
            for task in hazards:
                ahead = next_onset(splits.target, task, whole, observed_until=until)
                onsets[task.name].append(
                    NextOnset(*(part[:length] for part in (ahead.number, ahead.span, ahead.events)))
                )
        lengths = np.array([len(own) for own in times])
        history = np.repeat(np.arange(len(lengths)), lengths)
        _, customers = np.unique(names, return_inverse=True)
        return cls(
            counted=np.concatenate(counted),
            history=history,
            customer=customers[history],
            time=np.concatenate(times),
            prefix=np.concatenate([np.arange(1, length + 1) for length in lengths]),
            ends=np.array(ends),
            untils=np.array(untils),
            customers=customers,
            onsets={name: _joined(parts) for name, parts in onsets.items()},
            clock=clock,
        )

    def __len__(self) -> int:
        return len(self.history)


def event_times_us(history: History) -> Int64s:
    """When each event of a history became known, µs since 1970 [T]."""
    seconds = np.array([event.ingested_at.timestamp() for event in history.events])
    return np.rint(seconds * MICROSECONDS).astype(np.int64)


def _joined(parts: list[NextOnset]) -> NextOnset:
    return NextOnset(
        *(np.concatenate([getattr(part, name) for part in parts]) for name in ("number", "span", "events"))
    )
