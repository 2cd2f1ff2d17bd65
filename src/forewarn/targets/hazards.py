"""Labels of hazard tasks, at the row's event or after a silence.

- Silence is an observation too: a row may be observed so long after its event, and everything is judged at that moment.
  Hidden events in between have happened by then. The row is gone once the next visible event comes, the observation
  ends or a complete history is over, and then it has no label.
- Of competing tasks the first onset ends the wait for all: the bins after it are at risk for none, and their outcome is
  known, for the others did not come first. Where two lie on one event, the task that the target names first has it; at
  one instant the order of the history decides. A row in the cooldown of one is no observation point of any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from forewarn.events import History
from forewarn.targets.horizon import FOREVER
from forewarn.targets.spec import TargetSpec
from forewarn.targets.tasks import HazardTask
from forewarn.targets.timeline import NEVER, Moments, Timeline


@dataclass(frozen=True)
class HazardLabels:
    """Discrete-time hazard labels per bin: ``onset`` int8, ``at_risk`` bool and ``observed`` bool, all [T, K].

    A row's bins are at risk up to and including the bin of its onset, or of a competing one; masked bins are never at
    risk. ``observed`` tells whether a bin was watched to its end, also after the onset. Without it a row counts as
    known from its onset on, which near the end of the observation keeps positives and loses negatives.
    """

    onset: np.ndarray
    at_risk: np.ndarray
    observed: np.ndarray | None = None

    def cumulative(self) -> tuple[np.ndarray, np.ndarray]:
        """Onset within each horizon int8 [T, K], and whether that is known bool [T, K]."""
        within = np.logical_or.accumulate(self.onset.astype(bool), axis=-1)
        if self.observed is not None:
            known = np.logical_and.accumulate(self.observed, axis=-1)
        else:
            known = within | np.logical_and.accumulate(self.at_risk, axis=-1)
        return (within & known).astype(np.int8), known


@dataclass(frozen=True)
class NextOnset:
    """The onset that each row waits for, int64 [T]: its number in the history from 0, and its distance; -1 for none.

    ``span`` is in µs, ``events`` counts events as the model sees them; a hidden onset comes right after the last. With
    ``TargetSpec.per`` both numbers count within the row's case, and a row without a case waits for none.
    """

    number: np.ndarray
    span: np.ndarray
    events: np.ndarray


def label_silences(
    spec: TargetSpec,
    history: History,
    silence_TS: np.ndarray,
    *,
    observed_until: datetime | None = None,
    complete: bool | None = None,
) -> dict[str, HazardLabels]:
    """Hazard labels [T, S, K] per task, of the rows of ``label_history`` after silences int64 [T, S] in µs.

    A silence of 0 gives the labels of ``label_history``. One that outlasts the row (the next visible event came before,
    or the observation or the complete history ended) gives none: nothing is at risk or observed.
    """
    complete = spec.complete if complete is None else complete
    whole = Timeline.build(spec, history, observed_until, complete)
    following = np.full(len(whole.rows), NEVER, np.int64)
    seen = whole.times[whole.visible]
    following[: len(seen) - 1] = seen[1 : len(whole.rows) + 1]
    parts = whole.parts(spec.per, complete)
    labels: dict[str, HazardLabels] = {}
    for task in spec.tasks:
        if not isinstance(task, HazardTask):
            continue
        shape = *silence_TS.shape, len(task.horizons.names)
        found = HazardLabels(np.zeros(shape, np.int8), np.zeros(shape, bool), np.zeros(shape, bool))
        assert found.observed is not None
        for rows, line in parts:
            until = np.minimum(following[rows], line.end)
            for number, silence in enumerate(silence_TS[rows].T):
                lasts = (silence == 0) | (line.times[line.rows] + silence < until)
                own = label_hazard(task, spec.group(task), line, silence)
                assert own.observed is not None
                found.onset[rows, number] = own.onset * lasts[:, None]
                found.at_risk[rows, number] = own.at_risk & lasts[:, None]
                found.observed[rows, number] = own.observed & lasts[:, None]
        labels[task.name] = found
    return labels


def next_onset(
    spec: TargetSpec, task: HazardTask, history: History, *, observed_until: datetime | None = None
) -> NextOnset:
    """The observed onset ahead of every row of a whole history, however far; rows as in ``label_history``.

    None is ahead where a competing onset comes first.
    """
    whole = Timeline.build(spec, history, observed_until, spec.complete)
    number, span, events = np.full((3, len(whole.rows)), -1, np.int64)
    for rows, line in whole.parts(spec.per, spec.complete):
        first = _First.of(spec.group(task), line, Moments.of(line))
        own = first.task == task.name
        at, ahead = rows[own], first.ahead
        number[at], span[at], events[at] = ahead.number[own], ahead.span[own], ahead.events[own]
    return NextOnset(number, span, events)


def label_hazard(
    task: HazardTask, group: Sequence[HazardTask], line: Timeline, silence: np.ndarray | None = None
) -> HazardLabels:
    """Labels of one task on a timeline, at the rows' events or each after its silence int64 [T] in µs.

    ``group`` holds the tasks that compete with it, itself included.
    """
    horizons, rows = task.horizons, line.rows
    edges = horizons.edges
    moments = Moments.of(line, silence)
    first = _First.of(group, line, moments)
    ahead = first.ahead
    distance = np.full(len(rows), NEVER, np.int64)
    found = ahead.number >= 0
    if horizons.clock:
        here, end = moments.time, line.until
    else:
        here, end = np.arange(len(rows)), NEVER if line.closed else len(rows) - 1
    distance[found] = np.maximum((ahead.span if horizons.clock else ahead.events)[found], 1)

    bins = np.searchsorted(edges, distance, side="left") - 1  # -1: within the lead, K: none
    observed = here[:, None] + edges[None, 1:] <= end
    observed[:, edges[1:] >= FOREVER] = line.closed
    masked = (bins < 0) | (moments.time < first.resting_until[moments.latest])
    if task.only_when is not None:
        masked |= ~task.only_when(line.events)[rows]
    observed = np.logical_and.accumulate(observed, axis=1) & ~masked[:, None]
    number = np.arange(len(edges) - 1)
    at_risk = observed & (number <= bins[:, None])
    own = (number == bins[:, None]) & (first.task == task.name)[:, None]
    return HazardLabels((at_risk & own).astype(np.int8), at_risk, observed)


@dataclass(frozen=True)
class _First:
    """The first onset of a group ahead of every row, and which ``task`` [T] it is of.

    ``resting_until`` int64 [N] is when the last cooldown of the group after each event ends, µs.
    """

    ahead: NextOnset
    task: np.ndarray
    resting_until: np.ndarray

    @classmethod
    def of(cls, group: Sequence[HazardTask], line: Timeline, moments: Moments) -> _First:
        none, row = len(line.events), np.arange(len(line.rows))
        found = [_onsets(task, line) for task in group]
        ahead = [_ahead(task, line, onsets, moments) for task, (onsets, _) in zip(group, found, strict=True)]
        event_CT = np.stack(
            [np.append(onsets, none)[own.number] for own, (onsets, _) in zip(ahead, found, strict=True)]
        )  # a number of -1 reads the last: none
        first = event_CT.argmin(axis=0)  # of equals the first
        parts = (np.stack([getattr(own, part) for own in ahead])[first, row] for part in ("number", "span", "events"))
        names = np.array([task.name for task in group])
        return cls(NextOnset(*parts), names[first], np.maximum.reduce([resting for _, resting in found]))


def _ahead(task: HazardTask, line: Timeline, onsets: np.ndarray, moments: Moments) -> NextOnset:
    rows = line.rows
    # A final outcome is also the label of the last event itself.
    following = np.searchsorted(onsets, moments.latest, side="left" if task.at == "last" else "right")
    found = following < len(onsets)
    onset = onsets[following[found]]
    number, span, events = np.full((3, len(rows)), -1, np.int64)
    number[found] = following[found]
    span[found] = line.times[onset] - moments.time[found]
    # Events are counted as the model sees them; a hidden onset comes right after the last visible event.
    before = np.cumsum(line.visible) - line.visible
    events[found] = before[onset] - np.flatnonzero(found)
    return NextOnset(number, span, events)


def _onsets(task: HazardTask, line: Timeline) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the observed onsets, ascending, and when the cooldown after each event ends, int64 [N], µs."""
    flags = task.when(line.events) & (line.times <= line.until)
    resting_until = np.full(len(flags), -NEVER, np.int64)
    if task.at == "last":
        flags[:-1] = False
        return np.flatnonzero(flags & line.closed), resting_until
    candidates = np.flatnonzero(flags)
    if task.until is None and task.rest is None:
        return candidates, resting_until
    closings = np.flatnonzero(task.until(line.events)) if task.until is not None else None
    kept, free = [], 0
    for onset in candidates.tolist():
        if onset < free:
            continue
        kept.append(onset)
        if closings is not None:
            later = closings[np.searchsorted(closings, onset, side="right") :]
            end = int(later[0]) if len(later) else len(flags)
            free = end + 1  # the closing event is an observation point again, but no onset
            resting_until[onset:end] = NEVER  # no clock ends it, only that event
        else:
            wakes = line.times[onset] + task.rest
            end = free = int(np.searchsorted(line.times, wakes, side="left"))
            resting_until[onset:end] = wakes
    return np.array(kept, np.int64), resting_until
