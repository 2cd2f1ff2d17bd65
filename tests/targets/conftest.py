"""Small histories for the tests of targets: one event per (minutes, type, attributes)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from forewarn.events import Event, History

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
MakeHistory = Callable[..., History]
Clock = Callable[[float], datetime]


@pytest.fixture(scope="session")
def at() -> Clock:
    """The time so many minutes after the start."""
    return lambda minutes: START + timedelta(minutes=minutes)


@pytest.fixture(scope="session")
def history() -> MakeHistory:
    """A history from (minutes, type) or (minutes, type, attributes) per event; core fields may be given by name."""

    def make(*given: Sequence[Any], name: str = "h1") -> History:
        events = []
        for i, (minutes, kind, *rest) in enumerate(given):
            fields = dict(rest[0]) if rest else {}
            core = {key: fields.pop(key) for key in ("actor", "channel", "text", "case_id") if key in fields}
            attributes = {key: float(value) if isinstance(value, int) else value for key, value in fields.items()}
            moment = START + timedelta(minutes=minutes)
            events.append(
                Event(event_id=f"{name}-{i}", source="test", customer_id=name, type=kind, occurred_at=moment,
                      ingested_at=moment, attributes=attributes, **core)
            )  # fmt: skip
        return History(name, name, events)

    return make
