"""A score as of a later moment: the offline score after the same silence, and refusals that name what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forewarn.bundle import Bundle, Scorer
from forewarn.events import History, event_from_record, make_history
from serving.config import load
from serving.engine import Engine

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def ageing(silent_run: Path) -> Iterator[Engine]:
    import asyncio

    engine = Engine(load({"bundle": str(silent_run / "bundle"), "threads": 1}))
    asyncio.run(engine.warm_up())
    yield engine
    engine.close()


@pytest.fixture
def asked(ageing: Engine, client_of: Any) -> Any:
    return client_of(ageing)


def later(record: dict[str, Any], **passed: float) -> str:
    return (datetime.fromisoformat(record["occurred_at"]) + timedelta(**passed)).isoformat()


def history_of(records: list[dict[str, Any]]) -> History:
    return make_history(
        "c", [event_from_record({**record, "customer_id": "c"}, source="http", where="") for record in records]
    )


def risks(answer: dict[str, Any]) -> list[float]:
    return list(answer["risk"]["onset"].values())


def test_a_risk_as_of_a_moment_is_the_offline_score_after_that_silence(
    asked: Any, silent_run: Path, events: Any
) -> None:
    records, scorer = events(5, type="ping"), Scorer(Bundle.load(silent_run / "bundle"), threads=1)
    hours = [0, 1, 6, 9, 30]
    moments = [later(records[-1], hours=hour) for hour in hours]
    body = {"histories": [{"customer_id": "c", "events": records, "as_of": moment} for moment in moments]}
    answers = asked.score(body).json()["histories"]
    histories = [history_of(records)] * len(hours)
    expected = scorer.score(histories, [datetime.fromisoformat(moment) for moment in moments])
    for answer, scores, hour in zip(answers, expected, hours, strict=True):
        assert risks(answer) == pytest.approx(scores["onset"][-1].tolist(), abs=TOLERANCE)
        assert answer.get("silence_s", 0.0) == 3_600.0 * hour
        assert answer["trajectory"][-1]["risk"] == answer["risk"], "the last point is as of then"
    assert risks(answers[2])[0] > 2 * risks(answers[0])[0], "it has learned that six hours of silence are no good sign"
    by_event = np.array([[list(p["risk"]["onset"].values()) for p in own["trajectory"][:-1]] for own in answers])
    np.testing.assert_allclose(by_event, np.broadcast_to(by_event[:1], by_event.shape), atol=TOLERANCE)


def test_without_as_of_the_score_is_that_at_the_last_event_in_either_form(asked: Any, events: Any) -> None:
    records = events(4, type="ping")
    (plain,) = asked.score({"customer_id": "c", "events": records}).json()["histories"]
    (now,) = asked.score({"customer_id": "c", "events": records, "as_of": later(records[-1])}).json()["histories"]
    assert "silence_s" not in plain and plain == now
    (aged,) = asked.score({"customer_id": "c", "events": records, "as_of": later(records[-1], days=1)}).json()[
        "histories"
    ]
    assert aged["risk"] != plain["risk"] and aged["silence_s"] == 86_400


def test_a_zone_is_a_zone(asked: Any, events: Any) -> None:
    records = events(2, type="ping")
    found = [
        asked.score({"customer_id": "c", "events": records, "as_of": moment}).json()["histories"][0]["risk"]
        for moment in ("2026-11-20T19:00:00Z", "2026-11-20T20:00:00+01:00", "2026-11-20T19:00:00+00:00")
    ]
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("as_of", "found", "expected"),
    [
        ("2026-11-20T13:01:59Z", "2026-11-20T13:01:59Z", "no time before the last event at 2026-11-20T13:02:00+00:00"),
        ("2026-11-20T19:00:00", "'2026-11-20T19:00:00' without a zone", "a time with a zone"),
        ("tomorrow", "'tomorrow'", "a time with a zone, such as"),
        ("", "''", "a time with a zone"),
        (1_700_000_000, "1700000000", "str"),
    ],
)
def test_a_moment_that_cannot_be_used_is_422_and_named(
    asked: Any, events: Any, as_of: Any, found: str, expected: str
) -> None:
    records = events(3, type="ping")
    good = {"customer_id": "a", "events": records}
    for body, field in (
        ({"histories": [good, {"customer_id": "b", "events": records, "as_of": as_of}]}, "histories[1].as_of"),
        ({"customer_id": "b", "events": records, "as_of": as_of}, "as_of"),
    ):
        response = asked.score(body)
        assert response.status_code == 422
        (error,) = response.json()["errors"]
        assert error["field"] == field and error["fix"]
        assert found in error["found"] and expected in error["expected"]


def test_a_model_that_does_not_age_refuses_and_says_why(client: Any, events: Any) -> None:
    records = events(3)
    body = {"histories": [{"customer_id": "c", "events": records, "as_of": later(records[-1], hours=1)}]}
    response = client.score(body)
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["field"] == "histories[0].as_of"
    assert "ignores silence" in error["expected"] and "model.ageing=true" in error["fix"]


def test_the_service_says_whether_its_model_takes_a_moment(asked: Any, client: Any) -> None:
    assert asked.get("/v1/model").json()["inputs"]["as_of"] is True
    assert client.get("/v1/model").json()["inputs"]["as_of"] is False
    document = asked.get("/openapi.json").json()
    assert "as_of" in document["components"]["schemas"]["HistoryBody"]["properties"]
    assert "as_of" in document["paths"]["/v1/score"]["post"]["description"]
