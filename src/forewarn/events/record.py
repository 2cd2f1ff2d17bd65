"""Records to events and back: the one validation path of table rows, JSON lines, CloudEvents and HTTP bodies.

What a reader accepts and what the service accepts cannot drift apart, because both call ``event_from_record``. It is on
the service's hot path: the common case takes one pass over the record, anything unusual goes aside.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from math import isfinite
from typing import Any

from forewarn.events.event import CORE_FIELDS, Event, EventError

REQUIRED_FIELDS = ("customer_id", "type", "occurred_at")

_CORE = frozenset(CORE_FIELDS)
_STRING_FIELDS = tuple(name for name in CORE_FIELDS if not name.endswith("_at"))
# Seconds since 1970 for the year 2286; anything above is milliseconds or finer and would land in the far future.
_LARGEST_EPOCH = 1e10
# Up to here a float holds every whole number; what is larger can only be a code, and neighbours must not become one.
_LARGEST_WHOLE = 2**53


def event_from_record(
    record: Mapping[str, Any], *, source: str, where: str, default_id: str | None = None, by: str | None = None
) -> Event:
    """Validate one flat record and return its event.

    Envelope fields are taken by name (``source`` of the record wins over the argument); every other key becomes an
    attribute: bool -> "true"/"false", number -> float (text where it is a whole number beyond a float's), time -> epoch
    seconds, mapping -> dotted names, list -> its sorted members joined by "|"; None, "" and NaN are dropped. A mapping
    under ``attributes`` adds its members without a prefix, so an encoded event is a valid record. Times without a zone
    are UTC. ``where`` names the origin in errors, ``by`` the field that makes a history and so must have a value.

    Raises EventError for a missing or unusable field.
    """
    core: dict[str, Any] = {}
    attributes: dict[str, str | float] = {}
    compound: list[tuple[str, Any]] = []
    for name, value in record.items():
        if value is None or value == "":
            continue
        if name in _CORE:
            core[name] = value
            continue
        kind = type(value)
        if kind is str or (kind is float and isfinite(value)):
            attributes[name] = value
        elif kind is bool:
            attributes[name] = "true" if value else "false"
        else:
            compound.append((name, value))
    for name, value in compound:
        _add_attribute(attributes, "" if name == "attributes" and isinstance(value, Mapping) else name, value, where)

    for name in REQUIRED_FIELDS:
        if name not in core:
            raise _missing(name, where)
    core.setdefault("source", source)
    if "event_id" not in core:
        if default_id is None:
            raise _missing("event_id", where)
        core["event_id"] = default_id
    for name in _STRING_FIELDS:
        value = core.get(name)
        if value is not None and (type(value) is not str or value.isspace()):
            core[name] = _as_string(name, value, where)
    occurred_at = parse_time(core["occurred_at"], "occurred_at", where)
    ingested_at = core.get("ingested_at")
    core["occurred_at"] = occurred_at
    core["ingested_at"] = occurred_at if ingested_at is None else parse_time(ingested_at, "ingested_at", where)
    event = Event(attributes=attributes, **core)
    if by is not None and event.value(by) is None:
        raise keyless(by, where)
    return event


def record_from_event(event: Event) -> dict[str, Any]:
    """The flat record of an event, which ``event_from_record`` turns back into the same event."""
    core = {name: value for name in CORE_FIELDS if (value := getattr(event, name)) is not None}
    return core | event.attributes


def parse_time(value: object, field: str, where: str) -> datetime:
    """An aware UTC time from a datetime, a date, ISO 8601 text or epoch seconds; raises EventError otherwise."""
    moment: datetime | None = None
    try:
        if isinstance(value, str):
            if len(value) != 8 and value.replace(".", "", 1).isdecimal():
                # fromisoformat would read 1712123110930, milliseconds of 2024, as half past nine of a day in 1712.
                return parse_time(float(value), field, where)
            moment = datetime.fromisoformat(value)
        elif isinstance(value, datetime):
            moment = value
        elif isinstance(value, date):
            moment = datetime.combine(value, time())
        elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST_EPOCH:
            moment = datetime.fromtimestamp(value, UTC)
        if moment is not None:
            if moment.tzinfo is UTC:
                return moment
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise EventError(
        field,
        value,
        "a time such as 2026-03-01T09:30:00Z, or seconds since 1970",
        "write the time as ISO 8601, or name its layout in time_format where a table is read",
        where,
    )


def as_text(value: object) -> str:
    """What a value says as text, the same from every format: 7, 7.0 -> "7"; True -> "true"; text as it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) <= _LARGEST_WHOLE else f"{value:.15g}"
    return str(value)


def keyless(by: str, where: str) -> EventError:
    """The error of an event without the field that makes a history."""
    return EventError(
        by,
        None,
        "a value in every event, because data.by makes it the key of a history",
        f"fill {by}, or choose another field in data.by",
        where,
    )


def _add_attribute(attributes: dict[str, str | float], name: str, value: Any, where: str) -> None:
    """Add one value that is neither plain text nor a finite float, taking mappings apart."""
    if isinstance(value, Mapping):
        for key, member in value.items():
            dotted = f"{name}.{key}" if name else str(key)
            if dotted in attributes or dotted in _CORE:
                raise EventError(
                    dotted, member, "one value per name", "rename the attribute, its name is already taken", where
                )
            _add_attribute(attributes, dotted, member, where)
        return
    scalar = _scalar(value, name, where)
    if scalar is not None:
        attributes[name] = scalar


def _scalar(value: Any, name: str, where: str) -> str | float | None:
    """The attribute value for one member of a record; None when it is missing."""
    if value is None or value == "":
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float | Decimal):
        try:
            number = float(value)
        except OverflowError:
            number = float("inf")
        if isfinite(number):
            return str(value) if isinstance(value, int) and abs(value) > _LARGEST_WHOLE else number
        if number != number:
            return None
    elif isinstance(value, datetime | date):
        return parse_time(value, name, where).timestamp()
    elif isinstance(value, list | tuple | set | frozenset):
        members = [_scalar(member, name, where) for member in value]
        return "|".join(sorted(as_text(member) for member in members if member is not None)) or None
    raise EventError(
        name,
        value,
        "text, a finite number, a truth value, a time, a list of these or a mapping of these",
        "drop the attribute or write it as one of these",
        where,
    )


def _as_string(name: str, value: object, where: str) -> str | None:
    """Identifiers and labels as text: whole numbers are accepted because many tables number their customers."""
    if isinstance(value, str):
        if name in REQUIRED_FIELDS or name in ("event_id", "source"):
            raise _missing(name, where, value)
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    raise EventError(name, value, "text", f"write {name} as text", where)


def _missing(name: str, where: str, found: object = None) -> EventError:
    return EventError(
        name, found, "a value in every record", f"fill {name}, or map the column that holds it in columns.{name}", where
    )
