"""Labels of every observation point of a history: the future, as far as it was observed.

Design choices
- Rows are the visible events (``TargetSpec.visible``); t0 is the ``ingested_at`` of the row's event. Labels read the
  whole history, inputs never do.
- Whether a bin is observed depends on clocks only, never on what happened in it: bin (a, b] of a row counts when
  t0 + b lies within the observation, and ``ever`` when the history is complete within it. Counting an onset in a bin
  that could not have been seen to stay empty would keep the positives of the last weeks and lose their negatives.
  An unobserved bin is masked; it never becomes a 0.
- A complete history ends its own exposure: nothing follows a closed case, so its later bins are observed without onset.
- Events that became visible at the same instant keep their order: an onset at the row's own instant but after it in
  the history lies in the future, at the smallest distance.
- Silence is an observation too: with ``silence`` a row is observed so long after its event, and everything is judged
  at that moment. Hidden events in between have happened by then. The row is gone once the next visible event comes,
  the observation ends or a complete history is over, and then it has no label.
- With ``TargetSpec.per`` each case within the history is labelled as if it were a history, but for what is visible,
  and its labels return to the rows it came from. Rows without a case have no label.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np

from forewarn.events import Event, History
from forewarn.targets.cases import Cases
from forewarn.targets.horizon import FOREVER, SECOND
from forewarn.targets.predicate import as_number
from forewarn.targets.spec import TargetSpec
from forewarn.targets.tasks import END, ClassificationTask, HazardTask, RegressionTask, Task

NONE = -1  # a row without class label
_NEVER = 2**62  # further away than any bin's end


@dataclass(frozen=True)
class HazardLabels:
    """Discrete-time hazard labels per bin: ``onset`` int8, ``at_risk`` bool and ``observed`` bool, all [T, K].

    A row's bins are at risk up to and including the bin of its onset; masked bins are never at risk. ``observed`` tells
    whether a bin was watched to its end, also after the onset. Without it a row counts as known from its onset on,
    which near the end of the observation keeps positives and loses negatives.
    """

    onset: np.ndarray
    at_risk: np.ndarray
    observed: np.ndarray | None = None

    def cumulative(self) -> tuple[np.ndarray, np.ndarray]:
        """Onset within each horizon int8 [T, K], and whether that is known bool [T, K]."""
        within = np.logical_or.accumulate(self.onset.astype(bool), axis=1)
        if self.observed is not None:
            known = np.logical_and.accumulate(self.observed, axis=1)
        else:
            known = within | np.logical_and.accumulate(self.at_risk, axis=1)
        return (within & known).astype(np.int8), known


TaskLabels = HazardLabels | np.ndarray


@dataclass(frozen=True)
class NextOnset:
    """The onset that each row waits for, int64 [T]: its number in the history from 0, and its distance; -1 for none.

    ``span`` is in µs, ``events`` counts events as the model sees them; a hidden onset comes right after the last.
    """

    number: np.ndarray
    span: np.ndarray
    events: np.ndarray


@dataclass(frozen=True)
class _Timeline:
    """What the labelling of one history needs to know; N all events, T rows."""

    events: list[Event]
    visible: np.ndarray  # bool [N], not hidden
    rows: np.ndarray  # int64 [T], index of each row's event among all
    times: np.ndarray  # int64 [N], µs
    until: int  # µs, last moment of observation
    closed: bool  # the history ended, and its end was observed
    end: int  # µs, after which nothing is an observation point: the end of a complete history, or of the observation

    def of(self, own: np.ndarray, complete: bool) -> _Timeline:
        """The timeline of some of the events alone, by their indices."""
        visible, times = self.visible[own], self.times[own]
        rows = np.flatnonzero(visible & (times <= self.until))
        closed = complete and int(times[-1]) <= self.until
        end = min(int(times[-1]), self.until) if complete else self.until
        return _Timeline([self.events[i] for i in own.tolist()], visible, rows, times, self.until, closed, end)


@dataclass(frozen=True)
class _Moments:
    """When each row is observed: ``time`` int64 [T], µs; ``latest`` int64 [T], index of the last event by then."""

    time: np.ndarray
    latest: np.ndarray

    @classmethod
    def of(cls, line: _Timeline, silence: np.ndarray | None = None) -> _Moments:
        """At the row's event, or a silence int64 [T] in µs after it."""
        here = line.times[line.rows]
        if silence is None:
            return cls(here, line.rows)
        # At its own instant a row knows no event behind it, later all of them.
        heard = np.searchsorted(line.times, here + silence, side="right") - 1
        return cls(here + silence, np.where(silence > 0, heard, line.rows))


def label_history(
    spec: TargetSpec, history: History, *, observed_until: datetime | None = None, complete: bool | None = None
) -> dict[str, TaskLabels]:
    """Label the rows of a whole history for every task; the rows are ``spec.visible(history, observed_until)``.

    Pass the history uncut: with ``observed_until`` (the cut of a split, or the end of the data) what came later is
    neither row nor label. ``complete`` overrides the spec's. Returns per task HazardLabels [T, K], classes int64 [T]
    (-1 without label) or transformed numbers float32 [T] (NaN without label). Classes must be fitted.
    """
    complete = spec.complete if complete is None else complete
    line = _timeline(spec, history, observed_until, complete)
    if spec.per is None:
        return {task.name: _label(task, line) for task in spec.tasks}
    cases = [(own, line.of(own, complete)) for own in Cases.of(line.events, spec.per).events()]
    parts = [(np.searchsorted(line.rows, own[case.rows]), case) for own, case in cases if len(case.rows)]
    return {task.name: _scattered(task, [(at, _label(task, case)) for at, case in parts], line) for task in spec.tasks}


def label_silences(
    spec: TargetSpec,
    history: History,
    silence_TS: np.ndarray,
    *,
    observed_until: datetime | None = None,
    complete: bool | None = None,
) -> dict[str, HazardLabels]:
    """The hazard tasks' labels [T, S, K] of rows observed after silences int64 [T, S] in µs; rows as in ``label_history``.

    A silence of 0 gives the labels of ``label_history``. One that outlasts the row (the next visible event came before,
    or the observation or the complete history ended) gives none: nothing is at risk or observed.
    """
    complete = spec.complete if complete is None else complete
    whole = _timeline(spec, history, observed_until, complete)
    tasks = [task for task in spec.tasks if isinstance(task, HazardTask)]
    following = np.full(len(whole.rows), _NEVER, np.int64)
    seen = whole.times[whole.visible]
    following[: len(seen) - 1] = seen[1 : len(whole.rows) + 1]
    parts = [(np.arange(len(whole.rows)), whole)]
    if spec.per is not None:
        cases = [(own, whole.of(own, complete)) for own in Cases.of(whole.events, spec.per).events()]
        parts = [(np.searchsorted(whole.rows, own[case.rows]), case) for own, case in cases if len(case.rows)]
    labels: dict[str, HazardLabels] = {}
    for task in tasks:
        shape = *silence_TS.shape, len(task.horizons.names)
        found = HazardLabels(np.zeros(shape, np.int8), np.zeros(shape, bool), np.zeros(shape, bool))
        assert found.observed is not None
        for rows, line in parts:
            until = np.minimum(following[rows], line.end)
            for number, silence in enumerate(silence_TS[rows].T):
                lasts = (silence == 0) | (line.times[line.rows] + silence < until)
                own = _label_hazard(task, line, silence)
                assert own.observed is not None
                found.onset[rows, number] = own.onset * lasts[:, None]
                found.at_risk[rows, number] = own.at_risk & lasts[:, None]
                found.observed[rows, number] = own.observed & lasts[:, None]
        labels[task.name] = found
    return labels


def next_onset(
    spec: TargetSpec, task: HazardTask, history: History, *, observed_until: datetime | None = None
) -> NextOnset:
    """The observed onset ahead of every row of a whole history, however far; rows as in ``label_history``."""
    line = _timeline(spec, history, observed_until, spec.complete)
    onsets, _ = _onsets(task, line)
    return _ahead(task, line, onsets, _Moments.of(line))


def _timeline(spec: TargetSpec, history: History, observed_until: datetime | None, complete: bool) -> _Timeline:
    events = history.events
    # Whole microseconds: a float of seconds holds them to 0.2 µs, so rounding is exact.
    seconds = np.fromiter((event.ingested_at.timestamp() for event in events), np.float64, len(events))
    times = np.rint(seconds * SECOND).astype(np.int64)
    if observed_until is not None:
        until = round(observed_until.timestamp() * SECOND)
    else:
        until = _NEVER if complete or not events else int(times[-1])
    visible = spec.seen(events)
    closed = complete and (not events or int(times[-1]) <= until)
    end = min(int(times[-1]), until) if complete and events else until
    return _Timeline(events, visible, np.flatnonzero(visible & (times <= until)), times, until, closed, end)


def _scattered(task: Task, parts: list[tuple[np.ndarray, TaskLabels]], line: _Timeline) -> TaskLabels:
    """The labels of all rows from those of the cases, each given with the numbers of its rows."""
    if isinstance(task, HazardTask):
        shape = len(line.rows), len(task.horizons.names)
        onset, at_risk, observed = np.zeros(shape, np.int8), np.zeros(shape, bool), np.zeros(shape, bool)
        for rows, own in parts:
            assert isinstance(own, HazardLabels)
            onset[rows], at_risk[rows], observed[rows] = own.onset, own.at_risk, own.observed
        return HazardLabels(onset, at_risk, observed)
    classes = isinstance(task, ClassificationTask)
    labels = np.full(len(line.rows), NONE, np.int64) if classes else np.full(len(line.rows), np.nan, np.float32)
    for rows, own in parts:
        assert isinstance(own, np.ndarray)
        labels[rows] = own
    return labels


def _label(task: Task, line: _Timeline) -> TaskLabels:
    if isinstance(task, HazardTask):
        return _label_hazard(task, line)
    if isinstance(task, ClassificationTask):
        return _label_classes(task, line)
    return _label_numbers(task, line)


def _label_hazard(task: HazardTask, line: _Timeline, silence: np.ndarray | None = None) -> HazardLabels:
    horizons, rows = task.horizons, line.rows
    edges = horizons.edges
    onsets, resting_until = _onsets(task, line)
    moments = _Moments.of(line, silence)
    ahead = _ahead(task, line, onsets, moments)
    distance = np.full(len(rows), _NEVER, np.int64)
    found = ahead.number >= 0
    if horizons.clock:
        here, end = moments.time, line.until
    else:
        here, end = np.arange(len(rows)), _NEVER if line.closed else len(rows) - 1
    distance[found] = np.maximum((ahead.span if horizons.clock else ahead.events)[found], 1)

    bins = np.searchsorted(edges, distance, side="left") - 1  # -1: within the lead, K: none
    observed = here[:, None] + edges[None, 1:] <= end
    observed[:, edges[1:] >= FOREVER] = line.closed
    masked = (bins < 0) | (moments.time < resting_until[moments.latest])
    if task.only_when is not None:
        masked |= ~task.only_when(line.events)[rows]
    observed = np.logical_and.accumulate(observed, axis=1) & ~masked[:, None]
    number = np.arange(len(edges) - 1)
    at_risk = observed & (number <= bins[:, None])
    return HazardLabels((at_risk & (number == bins[:, None])).astype(np.int8), at_risk, observed)


def _ahead(task: HazardTask, line: _Timeline, onsets: np.ndarray, moments: _Moments) -> NextOnset:
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


def _onsets(task: HazardTask, line: _Timeline) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the observed onsets, ascending, and when the cooldown after each event ends, int64 [N], µs."""
    flags = task.when(line.events) & (line.times <= line.until)
    resting_until = np.full(len(flags), -_NEVER, np.int64)
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
            resting_until[onset:end] = _NEVER  # no clock ends it, only that event
        else:
            wakes = line.times[onset] + task.rest
            end = free = int(np.searchsorted(line.times, wakes, side="left"))
            resting_until[onset:end] = wakes
    return np.array(kept, np.int64), resting_until


def _label_classes(task: ClassificationTask, line: _Timeline) -> np.ndarray:
    if task.classes is None:
        raise ValueError(f"task {task.name}: found no classes, expected them fitted; call spec.with_classes(histories)")
    number = {name: i for i, name in enumerate(task.classes)}
    labels = np.full(len(line.rows), NONE, np.int64)
    for row, event in enumerate(_labelled_events(task, line)):
        value = None if event is None else task.class_of(event.value(task.field))
        if value is not None:
            labels[row] = value if isinstance(value, int) else number.get(value, NONE)
    if task.end_class and line.closed and len(labels):
        labels[-1] = number[END]
    return _only_when(task, line, labels, NONE)


def _label_numbers(task: RegressionTask, line: _Timeline) -> np.ndarray:
    rows, times = line.rows, line.times
    values = np.full(len(rows), np.nan)
    if task.field == "gap":
        values[:-1] = np.diff(times[rows]) / task.unit_size
    elif task.field == "remaining_time":
        if line.closed and len(rows):
            values[:] = (times[-1] - times[rows]) / task.unit_size
    else:
        for row, event in enumerate(_labelled_events(task, line)):
            number = None if event is None else as_number(event.value(task.field))
            values[row] = np.nan if number is None else number
    return _only_when(task, line, task.forward(values), np.nan).astype(np.float32)


def _labelled_events(task: ClassificationTask | RegressionTask, line: _Timeline) -> list[Event | None]:
    """The event whose field labels each row: the row's own, the next visible one, or the last of all."""
    own: list[Event | None] = [line.events[i] for i in line.rows.tolist()]
    if task.at == "same":
        return own
    if task.at == "next":
        return [following for _, following in pairwise([*own, None])]
    return [line.events[-1] if line.closed else None] * len(own)


def _only_when(
    task: ClassificationTask | RegressionTask, line: _Timeline, labels: np.ndarray, missing: float
) -> np.ndarray:
    if task.only_when is not None:
        labels[~task.only_when(line.events)[line.rows]] = missing
    return labels
