"""The API's own documentation: what FastAPI cannot read off raw bodies, from the same structs that read them."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from serving.answers import ScoreAnswer
from serving.problems import KINDS, MEDIA_TYPE, ProblemDocument
from serving.wire import ScoreRequest

TITLE = "forewarn"
DESCRIPTION = """Customer events in, calibrated escalation risk out.

Every error is a problem document (RFC 9457). Fields of an event that the envelope does not know are attributes;
attributes and categories that training never saw are accepted and counted."""

_TEMPLATE = "#/components/schemas/{name}"
_STRUCTS = (ScoreRequest, ScoreAnswer, ProblemDocument)

_EVENTS = [
    {"event_id": "m-1", "type": "conversation.opened", "occurred_at": "2026-11-20T13:02:00Z", "channel": "chat",
     "actor": "customer", "text": "The export fails again, third time this week."},
    {"event_id": "m-2", "type": "conversation.message", "occurred_at": "2026-11-20T13:09:00Z", "channel": "chat",
     "actor": "bot", "text": "Have you tried clearing the cache?", "reply_latency_s": 420},
    {"event_id": "m-3", "type": "conversation.message", "occurred_at": "2026-11-20T13:10:30Z", "channel": "chat",
     "actor": "customer", "sentiment": -0.8, "priority": "high", "text": "I want to talk to a person."},
]  # fmt: skip
_ONE = {"customer_id": "c-1042", "events": _EVENTS, "explain": 2}
_MANY = {
    "histories": [{"customer_id": "c-1042", "events": _EVENTS}, {"customer_id": "c-77", "events": _EVENTS[:1]}],
    "trajectory": False,
}
_ANSWER = {
    "model_hash": "5f0c…", "schema_version": "1", "horizons": {"escalation": ["1h", "1d"]},
    "histories": [{
        "customer_id": "c-1042", "history_id": "c-1042",
        "state": {"events": 3, "events_read": 3, "truncated": False, "unknown": {"fields": {"sentiment": 1}}},
        "risk": {"escalation": {"1h": 0.214, "1d": 0.371}},
        "trajectory": [
            {"event_id": "m-1", "risk": {"escalation": {"1h": 0.031, "1d": 0.09}}},
            {"event_id": "m-2", "risk": {"escalation": {"1h": 0.058, "1d": 0.14}}},
            {"event_id": "m-3", "risk": {"escalation": {"1h": 0.214, "1d": 0.371}}},
        ],
        "reasons": {"escalation": [{"event_id": "m-3", "contribution": 1.42}]},
    }],
}  # fmt: skip


def _problems(*kinds: str) -> dict[int | str, dict[str, Any]]:
    schema = {"$ref": _TEMPLATE.format(name="ProblemDocument")}
    found: dict[int | str, dict[str, Any]] = {}
    for kind in kinds:
        status, title = KINDS[kind]
        found[status] = {"description": title, "content": {MEDIA_TYPE: {"schema": schema}}}
    return found


def _answers(content: dict[str, Any], description: str) -> dict[int | str, dict[str, Any]]:
    return {200: {"description": description, "content": content}}


def _text(example: str) -> dict[str, Any]:
    return {"text/plain": {"schema": {"type": "string"}, "example": example}}


SCORE: dict[str, Any] = {
    "summary": "Risk of one or many histories",
    "description": (
        "Sends events, gets the risk of every task at every horizon, after the last event and (trajectory) after each "
        "event. `explain` names up to five events per task that raise the risk at its last horizon. `as_of` asks a "
        "model that ages for the risk at a later moment, after silence since the last event. The header "
        "`x-forewarn-deadline-ms` bounds how long the answer may wait in the queue."
    ),
    "responses": {
        **_answers(
            {"application/json": {"schema": {"$ref": _TEMPLATE.format(name="ScoreAnswer")}, "example": _ANSWER}},
            "One answer per history, in the order asked",
        ),
        **_problems(
            "malformed-json", "too-large", "unsupported-media-type", "invalid-field", "internal-error", "overloaded",
            "deadline-exceeded",
        ),
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": _TEMPLATE.format(name="ScoreRequest")},
                    "examples": {
                        "one history, with reasons": {"value": _ONE},
                        "many histories, last risk only": {"value": _MANY},
                    },
                }
            },
        },
        "parameters": [
            {"name": "x-forewarn-deadline-ms", "in": "header", "required": False,
             "schema": {"type": "number", "exclusiveMinimum": 0}},
        ],
    },
}  # fmt: skip
MODEL: dict[str, Any] = {
    "summary": "The model that answers: tasks, horizons, inputs, metrics, versions and limits",
    "responses": _answers({"application/json": {"schema": {"type": "object"}}}, "Facts of the bundle's manifest"),
}
LIVEZ: dict[str, Any] = {
    "summary": "Whether the process works; restart it when not",
    "responses": {**_answers(_text("ok"), "It works"), **_problems("not-ready")},
}
READYZ: dict[str, Any] = {
    "summary": "Whether the replica takes requests; send it none when not",
    "responses": {**_answers(_text("ok"), "It takes requests"), **_problems("not-ready")},
}
METRICS: dict[str, Any] = {
    "summary": "Prometheus metrics of this replica",
    "responses": _answers(_text("forewarn_batches_total 12.0"), "Text exposition format"),
}


def install(app: FastAPI) -> None:
    """Makes the app's OpenAPI document hold the schemas of the structs on the wire."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            _, components = msgspec.json.schema_components(_STRUCTS, ref_template=_TEMPLATE)
            schema.setdefault("components", {}).setdefault("schemas", {}).update(components)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
