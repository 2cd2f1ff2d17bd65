"""A history: the events of one sequence key in the order in which they became visible.

``make_history`` is the only place that orders events and drops duplicates. It orders by visibility, so every prefix of
a history is exactly what was known at that moment.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter

import msgspec

from forewarn.events.event import Event

_VISIBILITY = attrgetter("ingested_at", "occurred_at")


class History(msgspec.Struct, frozen=True):
    """The events of one sequence key in order of visibility; made by ``make_history`` only."""

    history_id: str
    customer_id: str
    events: list[Event]


def make_history(history_id: str, events: Iterable[Event]) -> History:
    """Order events by (ingested_at, occurred_at, given order) and keep the first visible of each (source, event_id).

    Raises ValueError when there is no event.
    """
    ordered = sorted(events, key=_VISIBILITY)
    if not ordered:
        raise ValueError(f"history {history_id!r}: found no events, expected at least one; give the history its events")
    distinct: dict[tuple[str, str], Event] = {}
    for event in ordered:
        distinct.setdefault((event.source, event.event_id), event)
    return History(history_id, ordered[0].customer_id, list(distinct.values()))
