"""Fields derived from a history at read time, once, in one place: time, pace, and who or what changed.

Each value at event i depends on events 0..i only, so a later event never changes an earlier row. Absolute dates and
cumulative volumes are left out on purpose: they act as calendar proxies (shared design notes, targets). The relations
between the cases of a customer therefore stay within the case and within RELATED_S, and never count the cases so far.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from forewarn.events import Event

DERIVED_FIELDS = (
    "time.gap_s",  # seconds since the newest event before this one; missing on the first
    "time.elapsed_s",  # seconds since the first event
    "time.case_gap_s",  # seconds since the last event of the same case; missing on a case's first event
    "time.customer_gap_s",  # seconds since the customer's own last event before this one; missing when there is none
    "time.hour_sin",
    "time.hour_cos",
    "time.weekday_sin",
    "time.weekday_cos",
    "count.events",  # events so far, this one included
    "count.type",  # events of this type so far: repeat contact
    "count.channel_switches",
    "count.actor_switches",  # hand-offs between customer, bot and agents
    # Relations between the cases of one history
    "case.same",  # 1 when the event before belongs to the same case, else 0; missing on the first
    "case.events",  # events of this case so far, this one included
    "case.elapsed_s",  # seconds since the first event of this case
    "case.other_gap_s",  # seconds since the last event of any other case; missing beyond RELATED_S
    "case.issue_gap_s",  # seconds since the last event on the same issue outside this case; missing beyond RELATED_S
)
CASE_FIELDS = frozenset(name for name in DERIVED_FIELDS if name.startswith("case."))
_DAY_S = 86_400.0
# Without a limit, "no other case yet" says above all how long ago the data begins.
RELATED_S = 7 * _DAY_S


def event_times(events: Sequence[Event]) -> NDArray[np.float64]:
    """Seconds since 1970 [T] of each event, never falling: a late record counts as happening when it became known."""
    return np.maximum.accumulate(np.array([event.occurred_at.timestamp() for event in events], dtype=np.float64))


def derived_fields(
    events: Sequence[Event], time_T: NDArray[np.float64], issue: str | None = None, *, relations: bool = True
) -> NDArray[np.float64]:
    """The derived fields [T, len(DERIVED_FIELDS)] of one history; NaN where a value does not exist.

    `issue` names the field that says what an event is about, for `case.issue_gap_s`. Without `relations` the fields
    `case.*` stay missing: they take as long as all others together.
    """
    length = len(events)
    gap = np.full(length, np.nan)
    gap[1:] = np.diff(time_T)
    case_gap, customer_gap = np.full(length, np.nan), np.full(length, np.nan)
    counts = np.zeros((length, 3))
    case_time: dict[str, float] = {}
    type_count: dict[str, int] = {}
    customer_time = channel = actor = None
    channel_switches = actor_switches = 0
    for i, (event, now) in enumerate(zip(events, time_T.tolist(), strict=True)):
        if event.case_id is not None:
            if event.case_id in case_time:
                case_gap[i] = now - case_time[event.case_id]
            case_time[event.case_id] = now
        if customer_time is not None:
            customer_gap[i] = now - customer_time
        if event.actor == "customer":
            customer_time = now
        if event.channel is not None:
            channel_switches += channel is not None and event.channel != channel
            channel = event.channel
        if event.actor is not None:
            actor_switches += actor is not None and event.actor != actor
            actor = event.actor
        type_count[event.type] = type_count.get(event.type, 0) + 1
        counts[i] = type_count[event.type], channel_switches, actor_switches
    hour = 2 * np.pi * (time_T % _DAY_S) / _DAY_S
    weekday = 2 * np.pi * (time_T // _DAY_S % 7) / 7
    return np.column_stack(
        [
            gap,
            time_T - time_T[0],
            case_gap,
            customer_gap,
            np.sin(hour),
            np.cos(hour),
            np.sin(weekday),
            np.cos(weekday),
            np.arange(1, length + 1, dtype=np.float64),
            counts,
            case_relations(events, time_T, issue) if relations else np.full((length, len(CASE_FIELDS)), np.nan),
        ]
    )


def case_relations(events: Sequence[Event], time_T: NDArray[np.float64], issue: str | None) -> NDArray[np.float64]:
    """The fields `case.*` [T, 5] of one history; an event without case has no relation but that to its issue."""
    relation = np.full((len(events), len(CASE_FIELDS)), np.nan)
    count: dict[str, int] = {}
    start: dict[str, float] = {}
    touched: _Newest = {}
    discussed: _Newest = {}
    before: str | None = None
    for i, (event, now) in enumerate(zip(events, time_T.tolist(), strict=True)):
        case = event.case_id
        if case is not None:
            count[case] = count.get(case, 0) + 1
            relation[i, :2] = case == before if i else np.nan, count[case]
            relation[i, 2] = now - start.setdefault(case, now)
            relation[i, 3] = now - _outside(touched, "", case, now)
        about = event.value(issue) if issue is not None else None
        if about is not None:
            relation[i, 4] = now - _outside(discussed, about, case, now)
        before = case
    gap_T2 = relation[:, 3:]
    gap_T2[gap_T2 > RELATED_S] = np.nan
    return relation


# key -> its newest event's case and time, and the time of its newest event outside that case
_Newest = dict[object, tuple[str | None, float, float]]


def _outside(newest: _Newest, key: object, case: str | None, now: float) -> float:
    """When the key last occurred outside this case, NaN for never; notes that it occurs now."""
    last, at, other = newest.get(key, (None, np.nan, np.nan))
    outside = other if case is not None and case == last else at  # an event without case is a case of its own
    newest[key] = case, now, outside
    return outside


def rotary_positions(time_T: NDArray[np.float64], rotary_time: float, tau_s: float) -> NDArray[np.float32]:
    """Append-only positions p_i = p_(i-1) + 1 + c log1p(gap_i / tau) as float32 [T], starting at 0.

    The 1 keeps events at equal times distinguishable; nothing is relative to "now", so stored state never goes stale.
    """
    steps = np.zeros(len(time_T))
    steps[1:] = 1.0 + rotary_time * np.log1p(np.diff(time_T) / tau_s)
    return np.cumsum(steps).astype(np.float32)
