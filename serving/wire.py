"""The request of `POST /v1/score`: JSON bytes to histories, every mistake named by its place in the body.

The envelope is strict, so that a misspelt option is an error and not a silent default. Events are open: what the
envelope of an event does not know is an attribute, as in every other source of events.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, NamedTuple

import msgspec

from forewarn.events import EventError, History, event_from_record, make_history
from serving.config import ServeConfig
from serving.problems import FieldError, Problem, invalid, too_large

_SOURCE = "http"
# A body can hold thousands of broken events; the first few show what is wrong.
_MOST_ERRORS = 10


class HistoryBody(msgspec.Struct, forbid_unknown_fields=True):
    """One customer's events in any order, at least one; events need no `customer_id` of their own.

    `as_of`, ISO 8601 with a zone and not before the last event, asks for the risk after the silence since that event;
    only a model that ages can tell.
    """

    customer_id: str | int
    events: list[dict[str, Any]]
    history_id: str | int | None = None
    as_of: str | None = None


class ScoreRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Either `histories`, or one history's `customer_id` and `events` directly."""

    histories: list[HistoryBody] | None = None
    customer_id: str | int | None = None
    events: list[dict[str, Any]] | None = None
    history_id: str | int | None = None
    as_of: str | None = None
    trajectory: bool = True
    explain: Annotated[int, msgspec.Meta(ge=0, le=5)] = 0


class Question(NamedTuple):
    """A valid request: histories, the moment that each is asked about and where it is in the body, whether every
    event's scores are wanted, and how many reasons per task.
    """

    histories: list[History]
    as_of: list[datetime | None]
    paths: list[str]
    trajectory: bool
    explain: int


_DECODER = msgspec.json.Decoder(ScoreRequest)


def decode(body: bytes, limits: ServeConfig) -> Question:
    """Reads and validates a request body; raises Problem."""
    request = _request(body)
    bodies, prefixes = _histories_of(request)
    _check_sizes(bodies, prefixes, limits)
    errors: list[FieldError] = []
    histories = [_history(one, prefix, errors) for one, prefix in zip(bodies, prefixes, strict=True)]
    found = [history for history in histories if history is not None]
    moments: list[datetime | None] = [None] * len(bodies)
    if not errors:
        moments = [_as_of(*each, errors) for each in zip(bodies, prefixes, found, strict=True)]
    if errors:
        raise invalid(errors[:_MOST_ERRORS])
    return Question(found, moments, prefixes, request.trajectory, request.explain)


def _request(body: bytes) -> ScoreRequest:
    try:
        try:
            return _DECODER.decode(body)
        except msgspec.ValidationError as error:
            # The body as it is, both to show what was found and because the decoder stops at the first wrong type,
            # which may come before the end of the JSON.
            raise invalid([_field_error(str(error), msgspec.json.decode(body))]) from None
    except msgspec.DecodeError as error:
        raise Problem("malformed-json", f"{error}; send one JSON object in UTF-8") from None
    except RecursionError:
        raise Problem("malformed-json", "the body is nested too deeply; send flat event records") from None


def _histories_of(request: ScoreRequest) -> tuple[list[HistoryBody], list[str]]:
    """The histories of a request in either form, and the path of each in the body."""
    single = any(
        value is not None for value in (request.customer_id, request.events, request.history_id, request.as_of)
    )
    if request.histories is not None:
        if single:
            found = "histories beside customer_id, events, history_id or as_of"
            raise invalid([FieldError("histories", found, "one of the two forms", "move all events into histories")])
        return request.histories, [f"histories[{i}]." for i in range(len(request.histories))]
    if request.customer_id is None or request.events is None:
        missing = "customer_id" if single and request.customer_id is None else "events" if single else "histories"
        fix = 'send {"histories": [{"customer_id": …, "events": […]}]} or {"customer_id": …, "events": […]}'
        raise invalid([FieldError(missing, "nothing", "a value", fix)])
    return [HistoryBody(request.customer_id, request.events, request.history_id, request.as_of)], [""]


def _check_sizes(bodies: list[HistoryBody], prefixes: list[str], limits: ServeConfig) -> None:
    if not bodies:
        raise invalid([FieldError("histories", "an empty list", "at least one history", "add a history")])
    if len(bodies) > limits.max_histories:
        raise too_large("histories", len(bodies), limits.max_histories, "max_histories", "split the request")
    for body, prefix in zip(bodies, prefixes, strict=True):
        if len(body.events) > limits.max_events:
            fix = "send the newest events"
            raise too_large(f"{prefix}events", len(body.events), limits.max_events, "max_events", fix)


def _history(body: HistoryBody, prefix: str, errors: list[FieldError]) -> History | None:
    """The history of one body, or None with what is wrong appended to `errors`."""
    customer_id = str(body.customer_id)
    before = len(errors)
    if not customer_id.strip():
        errors.append(FieldError(f"{prefix}customer_id", repr(customer_id), "a name", "name the customer"))
    if not body.events:
        errors.append(FieldError(f"{prefix}events", "an empty list", "at least one event", "send the events so far"))
    if len(errors) > before:
        return None
    events = []
    for i, record in enumerate(body.events):
        where = f"{prefix}events[{i}]"
        own = record.setdefault("customer_id", customer_id)
        try:
            if own != customer_id and str(own) != customer_id:
                fix = "send each customer's events in a history of their own"
                raise EventError("customer_id", own, f"the history's {customer_id!r}", fix, where)
            events.append(event_from_record(record, source=_SOURCE, where=where, default_id=str(i)))
        except EventError as error:
            # Over HTTP there are no columns to map, which the record's own advice on a missing field speaks of.
            fix = f"add {error.field}" if error.field not in record else error.fix
            errors.append(FieldError(f"{where}.{error.field}", str(error.found), error.expected, fix))
            if len(errors) >= _MOST_ERRORS:
                return None
        except RecursionError:
            errors.append(FieldError(where, "a deeply nested value", "a flat record", "flatten the event"))
    if len(errors) > before:
        return None
    return make_history(customer_id if body.history_id is None else str(body.history_id), events)


def _as_of(body: HistoryBody, prefix: str, history: History, errors: list[FieldError]) -> datetime | None:
    """The moment that a history is asked about, None for that of its last event; what is wrong goes to `errors`."""
    if body.as_of is None:
        return None
    field, expected = f"{prefix}as_of", "a time with a zone, such as 2026-03-02T09:40:00Z"
    try:
        moment = datetime.fromisoformat(body.as_of)
    except ValueError:
        errors.append(FieldError(field, repr(body.as_of), expected, "write the time as ISO 8601"))
        return None
    last = history.events[-1].ingested_at
    if moment.tzinfo is None:
        errors.append(FieldError(field, f"{body.as_of!r} without a zone", expected, "add the zone, Z for UTC"))
    elif moment < last:
        fix = "leave out the events after as_of, or ask as of a later time"
        errors.append(FieldError(field, body.as_of, f"no time before the last event at {last.isoformat()}", fix))
    else:
        return moment
    return None


# What msgspec says, taken apart: "Expected `int`, got `str` - at `$.histories[0].customer_id`" and its kin.
_MESSAGE = re.compile(r"^(?P<what>.*?)(?: - at `(?:key in )?\$\.?(?P<path>.*)`)?$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<name>.*)`$")
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<name>.*)`$", re.DOTALL)
_WRONG = re.compile(r"^Expected (?P<expected>.*?)(?:, got (?P<got>.*))?$", re.DOTALL)
_FIELDS: Mapping[bool, tuple[str, ...]] = {
    True: HistoryBody.__struct_fields__,
    False: ScoreRequest.__struct_fields__,
}


def _field_error(message: str, body: object) -> FieldError:
    parts = _MESSAGE.match(message)
    what, path = (parts["what"], parts["path"] or "") if parts else (message, "")
    prefix = f"{path}." if path else ""
    if missing := _MISSING.match(what):
        return FieldError(prefix + missing["name"], "nothing", "a value", f"add {missing['name']}")
    if unknown := _UNKNOWN.match(what):
        allowed = ", ".join(_FIELDS[bool(path)])
        fix = "remove it; what describes an event belongs into the event"
        return FieldError(prefix + unknown["name"], "an unknown field", f"one of {allowed}", fix)
    found = _found_at(path, body)
    if wrong := _WRONG.match(what):
        return FieldError(path or "body", found, wrong["expected"].replace("`", ""), f"correct {path or 'the body'}")
    return FieldError(path or "body", found, what, f"correct {path or 'the body'}")


def _found_at(path: str, value: Any) -> str:
    """What is at a path such as `histories[0].explain`, as JSON, shortened."""
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        value = value[int(index)] if index else value[name]
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 80 else f"{text[:77]}…"
