"""The one record every room works with: an event. Ways to make one are in record.py, sequences of them in history.py.

Design choices
- Whatever is not a field of the envelope is an attribute: text is categorical, a number is numeric. A missing value is
  an absent attribute, so that a reader and a model have a single notion of "missing".
- Visibility is ``ingested_at``: nothing is known of an event before it.
- A msgspec struct: immutable, small, and encoded to msgpack or JSON without a second description of the fields.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

CORE_FIELDS = (
    "event_id",
    "source",
    "customer_id",
    "type",
    "occurred_at",
    "ingested_at",
    "channel",
    "actor",
    "case_id",
    "conversation_id",
    "account_id",
    "text",
)
CATEGORICAL_FIELDS = ("type", "channel", "actor")

_CORE = frozenset(CORE_FIELDS)


class EventError(ValueError):
    """A record that is not an event: names the field, what was found, what was expected, the fix, and where."""

    def __init__(self, field: str, found: object, expected: str, fix: str, where: str) -> None:
        self.field = field
        self.found = _shorten(found)
        self.expected = expected
        self.fix = fix
        self.where = where
        super().__init__(f"{where}: {field}: found {self.found}, expected {expected}; {fix}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore_error, (self.field, self.found, self.expected, self.fix, self.where)

    def as_dict(self) -> dict[str, str]:
        """The same facts for a quarantine line or a problem document."""
        return {
            "where": self.where,
            "field": self.field,
            "found": self.found,
            "expected": self.expected,
            "fix": self.fix,
        }


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One interaction of one customer; times are aware and in UTC, attributes hold no missing values."""

    event_id: str
    source: str
    customer_id: str
    type: str
    occurred_at: datetime
    ingested_at: datetime
    channel: str | None = None
    actor: str | None = None
    case_id: str | None = None
    conversation_id: str | None = None
    account_id: str | None = None
    text: str | None = None
    attributes: dict[str, str | float] = {}

    def value(self, field: str) -> str | float | datetime | None:
        """The value of an envelope field or of an attribute; None when the event does not carry it."""
        if field in _CORE:
            found: str | datetime | None = getattr(self, field)
            return found
        return self.attributes.get(field)


def _shorten(found: object) -> str:
    if found is None:
        return "nothing"
    shown = repr(found)
    return shown if len(shown) <= 120 else shown[:117] + "..."


def _restore_error(field: str, found: str, expected: str, fix: str, where: str) -> EventError:
    error = EventError(field, "", expected, fix, where)
    error.found = found
    error.args = (f"{where}: {field}: found {found}, expected {expected}; {fix}",)
    return error
