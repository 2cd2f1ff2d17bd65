"""Ordering and deduplication: a history's prefix is what was known at that moment."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forewarn.events import Event, make_history

START = datetime(2026, 3, 1, tzinfo=UTC)


def event(name: str, occurred: int, ingested: int | None = None, text: str | None = None) -> Event:
    return Event(
        event_id=name,
        source="test",
        customer_id="ada",
        type="ticket.created",
        occurred_at=START + timedelta(minutes=occurred),
        ingested_at=START + timedelta(minutes=occurred if ingested is None else ingested),
        text=text,
    )


some_events = st.lists(
    st.builds(event, st.sampled_from("abcdefgh"), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12
)


def test_events_are_in_order_of_visibility_then_occurrence_then_as_given() -> None:
    late_transcript = event("call", 1, ingested=30)
    chat, mail, first, second = event("chat", 10), event("mail", 5, ingested=10), event("x", 40), event("y", 40)
    history = make_history("ada", [first, late_transcript, chat, second, mail])
    assert [e.event_id for e in history.events] == ["mail", "chat", "call", "x", "y"]


def test_the_first_visible_of_a_repeated_event_is_kept() -> None:
    first, again = event("a", 1, text="as first known"), event("a", 1, ingested=9, text="as edited later")
    assert [e.text for e in make_history("ada", [again, first]).events] == ["as first known"]


def test_a_history_without_events_is_an_error() -> None:
    with pytest.raises(ValueError, match="expected at least one"):
        make_history("ada", [])


@given(some_events)
def test_order_is_by_visibility_and_ids_are_unique(events: list[Event]) -> None:
    ordered = make_history("ada", events).events
    assert all(a.ingested_at <= b.ingested_at for a, b in pairwise(ordered))
    assert {e.event_id for e in ordered} == {e.event_id for e in events}
    assert len(ordered) == len({e.event_id for e in ordered})
    assert make_history("ada", ordered).events == ordered


@given(some_events, st.integers(0, 5))
def test_a_prefix_is_the_history_of_what_was_visible_then(events: list[Event], minute: int) -> None:
    now = START + timedelta(minutes=minute)
    visible = [e for e in events if e.ingested_at <= now]
    prefix = [e for e in make_history("ada", events).events if e.ingested_at <= now]
    assert prefix == (make_history("ada", visible).events if visible else [])
