"""Every error is a problem document (RFC 9457) that says what is wrong, where, and what to do."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

JSON = {"content-type": "application/json"}
EVENT = {"type": "conversation.message", "occurred_at": "2026-11-20T13:00:00Z"}


def problem(response: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """The problem document of a response, after checking what every one of them must hold."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["type"] == f"urn:forewarn:problem:{kind}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert document["instance"] == response.request.url.path
    return document


@pytest.mark.parametrize("body", [b"", b"{", b"[1,", b"\xff\xfe", b'{"explain": 1} x', b'{"a":' * 5000])
def test_a_body_that_is_not_json_is_400(client: Any, body: bytes) -> None:
    problem(client.post(content=body, headers=JSON), 400, "malformed-json")


@pytest.mark.parametrize(
    ("body", "field", "found", "expected"),
    [
        ([], "body", "[]", "object"),
        ({}, "histories", "nothing", "a value"),
        ({"histories": []}, "histories", "an empty list", "at least one history"),
        ({"histories": {}}, "histories", "{}", "array | null"),
        ({"customer_id": "c"}, "events", "nothing", "a value"),
        ({"events": [EVENT]}, "customer_id", "nothing", "a value"),
        ({"customer_id": "c", "events": []}, "events", "an empty list", "at least one event"),
        ({"customer_id": " ", "events": [EVENT]}, "customer_id", "' '", "a name"),
        ({"customer_id": "c", "events": [EVENT], "explain": 6}, "explain", "6", "int <= 5"),
        ({"customer_id": "c", "events": [EVENT], "trajectory": "no"}, "trajectory", '"no"', "bool"),
        ({"customer_id": "c", "events": [EVENT], "explian": 3}, "explian", "an unknown field", "one of histories"),
        ({"histories": [{"events": [EVENT]}]}, "histories[0].customer_id", "nothing", "a value"),
        ({"histories": [{"customer_id": 1.5, "events": []}]}, "histories[0].customer_id", "1.5", "int | str"),
        ({"histories": [{"customer_id": "c", "events": [3]}]}, "histories[0].events[0]", "3", "object"),
        ({"histories": [{"customer_id": "c", "events": [EVENT], "x": 1}]}, "histories[0].x", "an unknown", "one of"),
        ({"customer_id": "c", "events": [EVENT, {"type": "a.b"}]}, "events[1].occurred_at", "nothing", ""),
        ({"customer_id": "c", "events": [EVENT | {"occurred_at": "soon"}]}, "events[0].occurred_at", "soon", ""),
        ({"customer_id": "c", "events": [EVENT | {"customer_id": "d"}]}, "events[0].customer_id", "d", "'c'"),
        ({"customer_id": "c", "events": [EVENT | {"type": "intervention.executed"}]}, "events", "hides", "other event"),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_used_is_422_and_named(
    client: Any, body: Any, field: str, found: str, expected: str
) -> None:
    document = problem(client.score(body), 422, "invalid-field")
    error = document["errors"][0]
    assert error["field"] == field
    assert found in error["found"]
    assert expected in error["expected"]
    assert error["fix"]
    assert document["detail"].startswith(f"{field}: found ")


def test_every_broken_event_is_listed_up_to_ten(client: Any) -> None:
    one = {"customer_id": "c", "events": [{"type": "a.b"}] * 3}
    assert [e["field"] for e in problem(client.score(one), 422, "invalid-field")["errors"]] == [
        f"events[{i}].occurred_at" for i in range(3)
    ]
    many = {"customer_id": "c", "events": [{"type": "a.b"}] * 300}
    assert len(problem(client.score(many), 422, "invalid-field")["errors"]) == 10


def test_limits_are_413_and_name_their_setting(engine_of: Any, client_of: Any, events: Any) -> None:
    client = client_of(engine_of(max_body_bytes=5000, max_histories=2, max_events=4, warm=False))
    small = {"customer_id": "c", "events": events(1)}
    for body, setting, limit in (
        ({"customer_id": "c", "events": events(60)}, "max_body_bytes", 5000),
        ({"histories": [small] * 3}, "max_histories", 2),
        ({"customer_id": "c", "events": events(5)}, "max_events", 4),
    ):
        document = problem(client.score(body), 413, "too-large")
        assert f"at most {limit} ({setting})" in document["detail"]
        assert document["errors"][0]["fix"]


def test_a_body_that_does_not_say_its_size_is_cut_off_at_the_limit(engine_of: Any, client_of: Any) -> None:
    client = client_of(engine_of(max_body_bytes=100, warm=False))

    async def endless() -> Any:
        while True:
            yield b" " * 64

    problem(client.post(content=endless(), headers=JSON), 413, "too-large")


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_a_body_of_another_media_type_is_415(client: Any, content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    problem(client.post(content=b"{}", headers=headers), 415, "unsupported-media-type")


def test_unknown_paths_are_404_and_wrong_methods_405(client: Any) -> None:
    problem(client.get("/v1/nothing"), 404, "not-found")
    problem(client.get("/static-offline-docs/nothing.js"), 404, "not-found")
    response = client.get("/v1/score")
    problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize("value", ["soon", "-5", "0", "nan", "inf"])
def test_a_deadline_must_be_milliseconds_above_0(client: Any, events: Any, value: str) -> None:
    body = {"customer_id": "c", "events": events(1)}
    document = problem(client.score(body, headers={"x-forewarn-deadline-ms": value}), 422, "invalid-field")
    assert document["errors"][0]["field"] == "x-forewarn-deadline-ms"


def test_a_passed_deadline_is_504(client: Any, events: Any) -> None:
    body = {"customer_id": "c", "events": events(1)}
    problem(client.score(body, headers={"x-forewarn-deadline-ms": "0.0001"}), 504, "deadline-exceeded")


@pytest.mark.parametrize("limit", ["queue_tokens", "max_ongoing_requests"])
def test_too_much_at_once_is_503_and_says_when_to_come_back(
    engine_of: Any, client_of: Any, events: Any, limit: str
) -> None:
    engine = engine_of(**{limit: 1})
    client = client_of(engine)
    long = {"histories": [{"customer_id": f"c{i}", "events": events(512)} for i in range(32)], "trajectory": False}

    async def scenario() -> httpx.Response:
        first = asyncio.create_task(client.request("POST", "/v1/score", json=long))
        while not engine.scheduler.tokens_held:
            await asyncio.sleep(0.001)
        refused = await client.request("POST", "/v1/score", json={"customer_id": "c", "events": events(1)})
        assert (await first).status_code == 200
        return refused

    response = asyncio.run(scenario())
    problem(response, 503, "overloaded")
    assert int(response.headers["retry-after"]) >= 1


def test_a_closing_service_is_503(engine_of: Any, client_of: Any, events: Any) -> None:
    engine = engine_of()
    client = client_of(engine)
    engine.scheduler.close()
    problem(client.score({"customer_id": "c", "events": events(1)}), 503, "not-ready")
    problem(client.get("/livez"), 503, "not-ready")


def test_an_unexpected_error_is_500_and_tells_nothing_of_its_inside(engine: Any, client_of: Any) -> None:
    client = client_of(engine)

    @client.app.get("/boom")
    async def boom() -> None:
        raise RuntimeError("secret detail")

    document = problem(client.get("/boom"), 500, "internal-error")
    assert "secret" not in json.dumps(document)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("2026-11-20"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KNOWN = ["type", "occurred_at", "ingested_at", "event_id", "channel", "text", "attributes", "other"]
RECORDS = st.dictionaries(st.sampled_from(KNOWN) | st.text(), VALUES)
BODIES = VALUES | st.fixed_dictionaries(
    {"customer_id": VALUES | st.just("c"), "events": st.lists(RECORDS, max_size=3) | VALUES},
    optional={"explain": VALUES, "trajectory": VALUES, "history_id": VALUES},
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES)
def test_whatever_is_sent_the_answer_is_a_score_or_a_problem_of_the_client(client: Any, body: Any) -> None:
    response = client.post(content=json.dumps(body).encode(), headers=JSON)
    assert response.status_code in (200, 400, 422), response.text
    assert response.json()
