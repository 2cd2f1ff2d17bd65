"""CloudEvents 1.0: single, batch and line by line, with extensions and data as fields."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from forewarn.events import DataConfig, Event, EventError, open_histories, read_events
from forewarn.events.readers.cloudevents import cloudevent_record

MINIMAL = {
    "specversion": "1.0",
    "id": "1",
    "source": "/s",
    "type": "x",
    "subject": "ada",
    "time": "2026-01-01T00:00:00Z",
}


def read(path: Path) -> list[Event]:
    return list(read_events(DataConfig(reader="cloudevents", events=str(path))))


def test_the_envelope_its_extensions_and_data_become_one_event(fixtures: Path) -> None:
    message, status = read(fixtures / "cloudevents.json")
    assert (message.event_id, message.source, message.customer_id) == ("ce-1", "/crm/eu", "ada")
    assert (message.channel, message.actor, message.case_id) == ("chat", "customer", "A-1")
    assert message.ingested_at == datetime(2026, 3, 1, 9, 0, 5, tzinfo=UTC)
    assert message.text == "Any news?"
    assert message.attributes == {"sentiment": -0.2, "tags": "billing|vip", "via.app": "ios"}
    assert status.attributes == {"data.type": "incident", "status": "solved", "first": "true"}


def test_single_batch_and_lines_are_the_same(fixtures: Path, tmp_path: Path) -> None:
    batch = json.loads((fixtures / "cloudevents.json").read_text())
    (tmp_path / "lines.jsonl").write_text("\n".join(json.dumps(entry) for entry in batch))
    (tmp_path / "single.json").write_text(json.dumps(batch[0]))
    events = read(fixtures / "cloudevents.json")
    assert read(tmp_path / "lines.jsonl") == events
    assert read(tmp_path / "single.json") == events[:1]


def test_source_and_id_identify_an_event(tmp_path: Path) -> None:
    rows = [MINIMAL, MINIMAL, {**MINIMAL, "source": "/other"}]
    (tmp_path / "e.json").write_text(json.dumps(rows))
    cfg = DataConfig(reader="cloudevents", events=str(tmp_path / "e.json"))
    counts = open_histories(cfg, tmp_path / "store").counts
    assert (counts["events"], counts["duplicates"]) == (2, 1)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"id": ""}, "id"),
        ({"source": None}, "source"),
        ({"type": None}, "type"),
        ({"data": [1]}, "data"),
        ({"data_base64": "AAAA"}, "data_base64"),
        ({"subject": None}, "subject"),
        ({"time": "noon"}, "time"),
        ({"time": None}, "time"),
    ],
)
def test_what_is_no_usable_cloudevent_is_named(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    (tmp_path / "e.json").write_text(json.dumps([MINIMAL, {**MINIMAL, **change}]))
    with pytest.raises(EventError) as caught:
        read(tmp_path / "e.json")
    assert (caught.value.field, caught.value.where) == (field, f"{tmp_path / 'e.json'}:2")


def test_text_as_data_is_the_text_of_the_event() -> None:
    assert cloudevent_record({**MINIMAL, "data": "hello"}, "w")["text"] == "hello"
