"""The rest of the API: health, model facts, metrics, documentation, access log."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from typing import Any

import pytest


def test_a_service_is_ready_only_after_warming_up(engine_of: Any, client_of: Any) -> None:
    engine = engine_of(warm=False)
    client = client_of(engine)
    assert client.get("/livez").status_code == 200
    assert client.get("/readyz").status_code == 503
    asyncio.run(engine.warm_up())
    assert client.get("/readyz").text == "ok"
    engine.close()
    assert client.get("/readyz").status_code == 503


def test_a_health_check_goes_through_the_inference_thread(engine_of: Any) -> None:
    engine = engine_of()
    before = engine.scheduler.counters.batches
    asyncio.run(engine.check_health())
    assert engine.scheduler.counters.batches == before + 1


def test_the_model_tells_what_it_predicts_what_it_reads_and_the_limits(client: Any, engine: Any) -> None:
    facts = client.get("/v1/model").json()
    assert facts["model_hash"] == engine.bundle.model_hash
    assert facts["tasks"][0]["name"] == "escalation"
    assert "type" in facts["inputs"]["categorical"]
    assert facts["limits"]["max_histories"] == engine.config.max_histories
    assert {"created", "versions", "metrics", "schema_version", "provider"} <= facts.keys()


def test_metrics_have_units_in_their_names_and_follow_the_requests(engine_of: Any, client_of: Any, events: Any) -> None:
    client = client_of(engine_of())

    def read() -> dict[str, float]:
        lines = [line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in lines}

    before = read()
    client.score({"histories": [{"customer_id": "c", "events": events(5, weather="rain")}] * 3})
    client.score({"customer_id": "c"})
    client.get("/whatever/a/scanner/invents")
    after = read()

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert grown("forewarn_histories_scored_total") == 3
    assert grown("forewarn_tokens_real_total") == 15
    assert grown('forewarn_unknown_total{kind="field"}') == 15
    assert grown('forewarn_requests_total{path="/v1/score",status="200"}') == 1
    assert grown('forewarn_requests_total{path="/v1/score",status="422"}') == 1
    assert grown('forewarn_requests_total{path="other",status="404"}') == 1
    assert grown('forewarn_request_duration_seconds_count{path="/v1/score"}') == 2
    assert 'schema_version="' in client.get("/metrics").text
    durations = {name for name in after if re.search("wait|compute|duration", name)}
    assert all("seconds" in name for name in durations)


def test_the_documentation_works_without_the_internet(client: Any) -> None:
    page = client.get("/docs").text
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert links
    for link in links:
        assert link.startswith("/"), f"{link} is somewhere else"
        assert client.get(link).status_code == 200


def test_the_openapi_document_holds_the_schemas_and_its_examples_work(client: Any) -> None:
    document = client.get("/openapi.json").json()
    assert {"/v1/score", "/v1/model", "/livez", "/readyz", "/metrics"} == document["paths"].keys()
    score = document["paths"]["/v1/score"]["post"]
    assert {"200", "400", "413", "415", "422", "500", "503", "504"} <= score["responses"].keys()
    references = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(document)))
    assert references <= document["components"]["schemas"].keys()
    examples = score["requestBody"]["content"]["application/json"]["examples"]
    assert len(examples) == 2
    for example in examples.values():
        assert client.score(example["value"]).status_code == 200


def test_the_access_log_is_json_and_off_unless_asked_for(
    engine: Any, engine_of: Any, client_of: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="serving.access"):
        client_of(engine).get("/livez")
        assert not caplog.messages
        client_of(engine_of(access_log=True, warm=False)).get("/livez")
    line = json.loads(caplog.messages[-1])
    assert (line["method"], line["path"], line["status"]) == ("GET", "/livez", 200)
    assert line["seconds"] > 0


def test_a_client_that_goes_away_takes_its_waiting_work_along(engine_of: Any, client_of: Any, events: Any) -> None:
    engine = engine_of()
    app = client_of(engine).app
    long = json.dumps({"histories": [{"customer_id": f"c{i}", "events": events(512)} for i in range(64)]}).encode()
    scope = {
        "type": "http", "method": "POST", "path": "/v1/score", "raw_path": b"/v1/score", "query_string": b"",
        "root_path": "", "headers": [(b"content-type", b"application/json")], "http_version": "1.1", "scheme": "http",
    }  # fmt: skip

    async def scenario() -> None:
        messages = [{"type": "http.request", "body": long, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            while not engine.scheduler.tokens_held:
                await asyncio.sleep(0.001)
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            pass

        await app(scope, receive, send)
        while engine.scheduler.tokens_held:
            await asyncio.sleep(0.001)

    asyncio.run(scenario())
    assert engine.scheduler.counters.cancelled > 0
