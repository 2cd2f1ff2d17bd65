"""What a client is told: risk per horizon, the trajectory a stream would have seen, reasons, and what was unknown."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from forewarn.bundle import Scorer

TOLERANCE = 1e-4


def risks(answer: dict[str, Any]) -> list[float]:
    return list(answer["risk"]["escalation"].values())


def test_an_answer_says_which_model_spoke_about_whom_and_at_which_horizons(
    client: Any, engine: Any, events: Any
) -> None:
    answer = client.score({"customer_id": 42, "events": events(3)}).json()
    assert answer["model_hash"] == engine.bundle.model_hash
    assert answer["schema_version"] == engine.bundle.schema_version
    assert answer["horizons"] == {"escalation": engine.scorer.horizons("escalation")}
    (history,) = answer["histories"]
    assert (history["customer_id"], history["history_id"]) == ("42", "42")
    assert history["state"] == {"events": 3, "events_read": 3, "truncated": False, "unknown": {}}
    assert list(history["risk"]["escalation"]) == answer["horizons"]["escalation"]


def test_risk_never_falls_with_the_horizon(client: Any, events: Any) -> None:
    for count in (1, 2, 7, 40):
        (history,) = client.score({"customer_id": "c", "events": events(count)}).json()["histories"]
        assert risks(history)[0] >= 0
        assert risks(history) == sorted(risks(history))
        assert risks(history)[-1] <= 1


def test_served_scores_are_the_scorer_s(client: Any, engine: Any, tiny_histories: Any) -> None:
    histories = sorted(tiny_histories, key=lambda history: history.history_id)[:24]
    expected = Scorer(engine.bundle).score(histories)
    body = {
        "histories": [
            {"customer_id": h.customer_id, "history_id": h.history_id, "events": [as_record(e) for e in h.events]}
            for h in histories
        ]
    }
    answers = client.score(body).json()["histories"]
    assert [a["history_id"] for a in answers] == [h.history_id for h in histories]
    for answer, scores in zip(answers, expected, strict=True):
        served = np.array([list(point["risk"]["escalation"].values()) for point in answer["trajectory"]])
        np.testing.assert_allclose(served, scores["escalation"], atol=TOLERANCE)


def as_record(event: Any) -> dict[str, Any]:
    fields = {name: getattr(event, name) for name in event.__struct_fields__ if name != "attributes"}
    times = {name: fields[name].isoformat() for name in ("occurred_at", "ingested_at")}
    return {**fields, **times, **event.attributes}


def test_each_point_of_the_trajectory_is_what_the_prefix_alone_gives(client: Any, events: Any) -> None:
    records = events(9, text="still broken", priority="high")
    (whole,) = client.score({"customer_id": "c", "events": records}).json()["histories"]
    assert [point["event_id"] for point in whole["trajectory"]] == [record["event_id"] for record in records]
    prefixes = {"histories": [{"customer_id": "c", "events": records[: n + 1]} for n in range(9)]}
    for point, prefix in zip(whole["trajectory"], client.score(prefixes).json()["histories"], strict=True):
        assert list(point["risk"]["escalation"].values()) == pytest.approx(risks(prefix), abs=TOLERANCE)
    assert whole["trajectory"][-1]["risk"] == whole["risk"]


def test_a_history_s_answer_does_not_depend_on_its_company_or_on_the_order_of_its_events(
    client: Any, events: Any
) -> None:
    alone = [
        risks(client.score({"customer_id": "c", "events": events(n)}).json()["histories"][0]) for n in (3, 30, 100)
    ]
    shuffled = [random.Random(n).sample(events(n), n) for n in (3, 30, 100)]
    body = {"histories": [{"customer_id": "c", "events": records} for records in shuffled], "trajectory": False}
    together = client.score(body).json()["histories"]
    assert np.array([risks(answer) for answer in together]) == pytest.approx(np.array(alone), abs=TOLERANCE)


def test_the_trajectory_can_be_left_out(client: Any, events: Any) -> None:
    body = {"customer_id": "c", "events": events(5)}
    (answer,) = client.score({**body, "trajectory": False}).json()["histories"]
    assert "trajectory" not in answer
    assert answer["risk"] == client.score(body).json()["histories"][0]["risk"]


def test_repeated_events_count_once(client: Any, events: Any) -> None:
    (answer,) = client.score({"customer_id": "c", "events": events(3) + events(3)}).json()["histories"]
    assert answer["state"]["events"] == 3


def test_events_that_the_target_hides_are_not_read(client: Any, events: Any) -> None:
    hidden = {"event_id": "x", "type": "intervention.executed", "occurred_at": "2026-11-20T13:00:30Z"}
    (answer,) = client.score({"customer_id": "c", "events": [*events(3), hidden]}).json()["histories"]
    assert (answer["state"]["events"], answer["state"]["events_read"]) == (4, 3)
    assert not answer["state"]["truncated"]
    assert answer["risk"] == client.score({"customer_id": "c", "events": events(3)}).json()["histories"][0]["risk"]


def test_a_history_longer_than_the_model_reads_is_cut_to_its_newest_events_and_says_so(
    client: Any, engine: Any, events: Any
) -> None:
    longest = engine.bundle.featurizer.config.max_length
    (answer,) = client.score({"customer_id": "c", "events": events(longest + 5)}).json()["histories"]
    assert answer["state"]["truncated"]
    assert answer["state"]["events_read"] == len(answer["trajectory"]) == longest // 2 + 5
    assert answer["trajectory"][0]["event_id"] == f"e{longest // 2}"


def test_unknown_fields_and_categories_are_accepted_and_counted(client: Any, events: Any) -> None:
    known = client.score({"customer_id": "c", "events": events(4)}).json()["histories"][0]
    strange = events(4, weather="rain", nested={"a": 1, "b": [2, 3]})
    (answer,) = client.score({"customer_id": "c", "events": strange}).json()["histories"]
    assert answer["state"]["unknown"] == {"fields": {"weather": 4, "nested.a": 4, "nested.b": 4}}
    assert answer["risk"] == known["risk"], "what training never saw changes no score"
    (answer,) = client.score({"customer_id": "c", "events": events(4, channel="telepathy")}).json()["histories"]
    assert answer["state"]["unknown"] == {"categories": {"channel": 4}}


def test_reasons_name_events_that_raise_the_risk_strongest_first(client: Any, events: Any) -> None:
    body = {"customer_id": "c", "events": events(12, text="I want to talk to a manager"), "explain": 3}
    (answer,) = client.score(body).json()["histories"]
    reasons = answer["reasons"]["escalation"]
    assert len(reasons) <= 3
    assert {reason["event_id"] for reason in reasons} <= {f"e{i}" for i in range(12)}
    contributions = [reason["contribution"] for reason in reasons]
    assert contributions == [round(contribution, 6) for contribution in contributions]
    assert contributions == sorted(contributions, reverse=True)
    assert all(contribution > 0 for contribution in contributions)


def test_no_reasons_are_given_unasked(client: Any, events: Any) -> None:
    (answer,) = client.score({"customer_id": "c", "events": events(5)}).json()["histories"]
    assert "reasons" not in answer
