"""What labelling needs to know of one history: its events in time, which are rows, and when each row is observed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from forewarn.events import Event, History
from forewarn.targets.cases import Cases
from forewarn.targets.horizon import SECOND
from forewarn.targets.spec import TargetSpec

NEVER = 2**62  # further away than any bin's end


@dataclass(frozen=True)
class Timeline:
    """What the labelling of one history needs to know; N all events, T rows."""

    events: list[Event]
    visible: np.ndarray  # bool [N], not hidden
    rows: np.ndarray  # int64 [T], index of each row's event among all
    times: np.ndarray  # int64 [N], µs
    until: int  # µs, last moment of observation
    closed: bool  # the history ended, and its end was observed
    end: int  # µs, after which nothing is an observation point: the end of a complete history, or of the observation

    @classmethod
    def build(cls, spec: TargetSpec, history: History, observed_until: datetime | None, complete: bool) -> Timeline:
        """The timeline of a whole history, observed until then (None: as long as it is known to be)."""
        events = history.events
        # Whole microseconds: a float of seconds holds them to 0.2 µs, so rounding is exact.
        seconds = np.fromiter((event.ingested_at.timestamp() for event in events), np.float64, len(events))
        times = np.rint(seconds * SECOND).astype(np.int64)
        if observed_until is not None:
            until = round(observed_until.timestamp() * SECOND)
        else:
            until = NEVER if complete or not events else int(times[-1])
        visible = spec.seen(events)
        closed = complete and (not events or int(times[-1]) <= until)
        end = min(int(times[-1]), until) if complete and events else until
        return cls(events, visible, np.flatnonzero(visible & (times <= until)), times, until, closed, end)

    def parts(self, per: str | None, complete: bool) -> list[tuple[np.ndarray, Timeline]]:
        """What is labelled as one: the numbers of its rows and its timeline; the whole, or with ``per`` each case."""
        if per is None:
            return [(np.arange(len(self.rows)), self)]
        cases = [(own, self.of(own, complete)) for own in Cases.of(self.events, per).events()]
        return [(np.searchsorted(self.rows, own[case.rows]), case) for own, case in cases if len(case.rows)]

    def of(self, own: np.ndarray, complete: bool) -> Timeline:
        """The timeline of some of the events alone, by their indices."""
        visible, times = self.visible[own], self.times[own]
        rows = np.flatnonzero(visible & (times <= self.until))
        closed = complete and int(times[-1]) <= self.until
        end = min(int(times[-1]), self.until) if complete else self.until
        return Timeline([self.events[i] for i in own.tolist()], visible, rows, times, self.until, closed, end)


@dataclass(frozen=True)
class Moments:
    """When each row is observed: ``time`` int64 [T], µs; ``latest`` int64 [T], index of the last event by then."""

    time: np.ndarray
    latest: np.ndarray

    @classmethod
    def of(cls, line: Timeline, silence: np.ndarray | None = None) -> Moments:
        """At the row's event, or a silence int64 [T] in µs after it."""
        here = line.times[line.rows]
        if silence is None:
            return cls(here, line.rows)
        # At its own instant a row knows no event behind it, later all of them.
        heard = np.searchsorted(line.times, here + silence, side="right") - 1
        return cls(here + silence, np.where(silence > 0, heard, line.rows))
