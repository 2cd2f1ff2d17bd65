"""The histories that ablations score again, where the observation points lie in them, and how their events rearrange.

Under the target's `per` a history holds several cases, and only some of its events are points of the split; the others
are the context that the points were scored with. A point is a question about its own case, so

- what happened changes places within its case, context cases included: every place keeps its time and its case;
- a point whose event is taken out keeps the score of the newest event left of its own case.

Without `per` a history is one case.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from forewarn.events import Event, History
from forewarn.targets import NO_CASE, Cases

MOST_POINTS = 20_000  # observation points that are scored again for every variant
Int64s = NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """Histories of N events together, P of them observation points.

    `cases` [N] numbers the cases of all histories, NO_CASE for an event of none; `points` [P] are the points among the
    N events, ascending, and `starts` [H] is where each history begins.
    """

    histories: list[History]
    cases: Int64s
    points: Int64s
    starts: Int64s
    per: str | None

    @classmethod
    def of(cls, histories: Iterable[tuple[History, NDArray[np.bool_]]], per: str | None) -> Sample:
        """Histories as the model sees them, each with which of its events [T] are points."""
        wholes, cases, points, known = [], [], [], 0
        for history, own in histories:
            found = Cases.of(history.events, per)
            cases.append(np.where(found.number == NO_CASE, NO_CASE, known + found.number))
            known += len(found.names)
            wholes.append(history)
            points.append(own)
        lengths = [len(history.events) for history in wholes]
        return cls(
            wholes,
            np.concatenate(cases),
            np.flatnonzero(np.concatenate(points)),
            np.cumsum([0, *lengths[:-1]]),
            per,
        )

    def places(self) -> tuple[Int64s, Int64s]:
        """The history of each point and its place among that history's events, both [P]."""
        owner_P = np.searchsorted(self.starts, self.points, side="right") - 1
        return owner_P, self.points - self.starts[owner_P]

    def newest(self, kept_N: NDArray[np.bool_]) -> Int64s:
        """The newest kept event [P] of each point's case by then, among the N; -1 where none has come."""
        order = np.argsort(self.cases, kind="stable")
        begins = np.searchsorted(self.cases[order], self.cases[order])
        at = np.maximum.accumulate(np.where(kept_N[order], np.arange(len(order)), -1))
        newest_N = np.empty(len(order), np.int64)
        newest_N[order] = np.where(at >= begins, order[at], -1)
        return newest_N[self.points]

    def alone(self) -> tuple[list[History], Int64s]:
        """Every case with a point as the only one of its customer, and each point [P] among the events of them all.

        Events without a case belong to no other one, so they stay.
        """
        alone: list[History] = []
        event_P, size = np.empty(len(self.points), np.int64), 0
        owner_P, place_P = self.places()
        case_P = self.cases[self.points]
        mine_H = np.split(np.arange(len(owner_P)), np.searchsorted(owner_P, np.arange(1, len(self.histories))))
        for history, start, mine in zip(self.histories, self.starts.tolist(), mine_H, strict=True):
            case_T = self.cases[start : start + len(history.events)]
            for case in np.unique(case_P[mine]).tolist():
                kept = np.flatnonzero((case_T == case) | (case_T == NO_CASE))
                own = mine[case_P[mine] == case]
                event_P[own] = size + np.searchsorted(kept, place_P[own])
                events = [history.events[i] for i in kept.tolist()]
                alone.append(History(history.history_id, history.customer_id, events))
                size += len(events)
        return alone, event_P


def draw(points_H: Int64s, seed: int) -> Int64s:
    """Numbers of the histories, ascending, that are scored again: a random part with at most MOST_POINTS points."""
    order = np.random.default_rng(seed).permutation(len(points_H))
    return np.sort(order[: max(int(np.searchsorted(np.cumsum(points_H[order]), MOST_POINTS, side="right")), 1)])


def shuffled(case_T: Int64s, rng: np.random.Generator) -> Int64s:
    """An order [T] in which events change places with those of their own case."""
    order = np.arange(len(case_T))
    for case in np.unique(case_T):
        places = np.flatnonzero(case_T == case)
        order[places] = rng.permutation(places)
    return order


def reordered(events: Sequence[Event], order: Sequence[int]) -> list[Event]:
    """The events in another order, each at the time of the place it takes: what happened moves, the clock stays."""
    return [
        msgspec.structs.replace(events[i], occurred_at=place.occurred_at, ingested_at=place.ingested_at)
        for i, place in zip(order, events, strict=True)
    ]
