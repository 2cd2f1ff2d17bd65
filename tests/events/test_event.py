"""A record becomes an event: what is accepted, what it turns into, and what the error says otherwise."""

from __future__ import annotations

import math
import pickle
import string
import time
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forewarn.events import CORE_FIELDS, Event, EventError, event_from_record, record_from_event

RECORD = {"event_id": "e1", "customer_id": "ada", "type": "ticket.created", "occurred_at": "2026-03-01T09:30:00Z"}

labels = st.text(string.ascii_letters + string.digits + " ._-äß", min_size=1, max_size=12).filter(lambda s: s.strip())
times = st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
attribute_values = st.one_of(labels, st.floats(allow_nan=False, allow_infinity=False))
attribute_names = labels.filter(lambda name: name not in CORE_FIELDS and name != "attributes")
optional = st.none() | labels
events = st.builds(
    Event,
    event_id=labels,
    source=labels,
    customer_id=labels,
    type=labels,
    occurred_at=times,
    ingested_at=times,
    channel=optional,
    actor=optional,
    case_id=optional,
    conversation_id=optional,
    account_id=optional,
    text=optional,
    attributes=st.dictionaries(attribute_names, attribute_values, max_size=5),
)


def event(**fields: Any) -> Event:
    return event_from_record({**RECORD, **fields}, source="test", where="here:1")


def rejection(**fields: Any) -> EventError:
    with pytest.raises(EventError) as caught:
        event(**fields)
    return caught.value


def test_envelope_fields_are_taken_by_name_and_all_else_is_an_attribute() -> None:
    built = event(channel="chat", status="open", msg_len=12)
    assert (built.customer_id, built.type, built.channel) == ("ada", "ticket.created", "chat")
    assert built.attributes == {"status": "open", "msg_len": 12.0}


def test_an_event_becomes_known_when_it_occurred_unless_the_record_says_later() -> None:
    assert event().ingested_at == event().occurred_at
    assert event(ingested_at="2026-03-01T10:00:00Z").ingested_at == datetime(2026, 3, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "2026-03-01T09:30:00Z",
        "2026-03-01T10:30:00+01:00",
        "2026-03-01 09:30:00",
        1772357400,
        1772357400.0,
        "1772357400",
        "1772357400.0",
        datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
        datetime(2026, 3, 1, 9, 30),
        datetime(2026, 3, 1, 11, 30, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_times_are_utc_and_without_a_zone_are_taken_as_utc(written: object) -> None:
    assert event(occurred_at=written).occurred_at == datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    assert event(occurred_at=written).occurred_at.tzinfo is UTC


@pytest.mark.parametrize(
    "written", ["yesterday", "1/3/2026", True, 1772357400000, "1712123110930", "²", [], "2026-13-01"]
)
def test_anything_else_is_no_time(written: object) -> None:
    error = rejection(occurred_at=written)
    assert error.field == "occurred_at"
    assert "2026-03-01T09:30:00Z" in error.expected


@pytest.mark.parametrize(
    ("value", "attribute"),
    [
        (True, "true"),
        (False, "false"),
        (3, 3.0),
        (Decimal("2.5"), 2.5),
        (datetime(2026, 3, 1, tzinfo=UTC), 1772323200.0),
        (["b", "a", None, 2], "2|a|b"),
    ],
)
def test_attribute_values_become_text_or_numbers(value: object, attribute: str | float) -> None:
    assert event(x=value).attributes == {"x": attribute}


@pytest.mark.parametrize("missing", [None, "", math.nan, [], {}])
def test_missing_values_leave_no_attribute(missing: object) -> None:
    assert event(x=missing, channel=None).attributes == {}


def test_nested_objects_get_dotted_names() -> None:
    assert event(via={"app": {"name": "ios"}, "beta": True}).attributes == {"via.app.name": "ios", "via.beta": "true"}


@pytest.mark.parametrize("value", [math.inf, -math.inf, b"bytes", object(), 10**400])
def test_an_attribute_that_is_neither_text_nor_a_finite_number_is_an_error(value: object) -> None:
    assert rejection(x=value).field == "x"


def test_two_values_for_one_name_are_an_error() -> None:
    assert rejection(**{"via": {"app": "ios"}, "via.app": "web"}).field == "via.app"
    assert rejection(attributes={"type": "other"}).field == "type"


@pytest.mark.parametrize("field", ["customer_id", "type", "occurred_at", "event_id"])
@pytest.mark.parametrize("missing", [None, ""])
def test_a_required_field_without_value_is_an_error_that_tells_the_fix(field: str, missing: object) -> None:
    error = rejection(**{field: missing})
    assert error.field == field
    assert f"columns.{field}" in error.fix


def test_only_blanks_are_no_customer() -> None:
    assert rejection(customer_id="  ").field == "customer_id"
    assert event(channel="  ").channel is None


def test_whole_numbers_are_accepted_as_ids() -> None:
    assert event(customer_id=42, case_id=7.0).case_id == "7"
    assert event(customer_id=42).customer_id == "42"
    assert rejection(customer_id=4.5).expected == "text"
    assert rejection(actor=True).field == "actor"


def test_the_default_id_serves_where_a_record_has_none() -> None:
    record = {name: value for name, value in RECORD.items() if name != "event_id"}
    assert event_from_record(record, source="s", where="w", default_id="row 7").event_id == "row 7"


def test_the_error_names_where_what_was_found_what_was_expected_and_the_fix() -> None:
    error = rejection(occurred_at="soon")
    assert str(error).startswith("here:1: occurred_at: found 'soon', expected a time")
    assert error.as_dict() == {
        "where": "here:1",
        "field": "occurred_at",
        "found": "'soon'",
        "expected": error.expected,
        "fix": error.fix,
    }
    assert pickle.loads(pickle.dumps(error)).as_dict() == error.as_dict()
    assert len(rejection(occurred_at="x" * 10_000).found) <= 120


@given(events)
def test_an_event_survives_its_record_its_json_and_its_msgpack(built: Event) -> None:
    assert event_from_record(record_from_event(built), source="other", where="w") == built
    as_json = msgspec.json.decode(msgspec.json.encode(built))
    assert event_from_record(as_json, source="other", where="w") == built
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(built), type=Event) == built


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*CORE_FIELDS, "attributes", "x", "y.z"]), json_values))
def test_any_json_object_is_an_event_or_an_event_error(record: dict[str, Any]) -> None:
    try:
        built = event_from_record({**RECORD, **record}, source="s", where="w")
    except EventError:
        return
    assert built.occurred_at.tzinfo is UTC
    assert all(
        isinstance(value, str) or (isinstance(value, float) and math.isfinite(value))
        for value in built.attributes.values()
    )


def test_validation_is_fast_enough_for_the_request_path() -> None:
    record = {**RECORD, "channel": "web", "text": "hello", **{f"a{i}": "x" for i in range(6)}, "n": 3.5, "m": 4.0}
    best = math.inf
    for _ in range(5):
        start = time.perf_counter()
        for _ in range(2000):
            event_from_record(record, source="s", where="w")
        best = min(best, (time.perf_counter() - start) / 2000)
    assert best < 40e-6  # about 4 µs on a quiet core; the rest is room for a busy machine
