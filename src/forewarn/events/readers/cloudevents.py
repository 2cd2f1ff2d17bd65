"""CloudEvents 1.0: JSON with one event or a batch, or JSONL with one event a line.

The envelope's id, source, subject, type and time are the event's own id, source, customer, type and time of occurrence.
Extension attributes and the members of ``data`` become fields under their names; since extensions are written in lower
case without separators, ``customerid`` and the like count as the field they stand for. A member of ``data`` whose name
the envelope has taken is kept as ``data.<name>``. Text in ``data`` is the event's text.

Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from forewarn.events.config import DataConfig
from forewarn.events.event import CORE_FIELDS, Event, EventError
from forewarn.events.quarantine import Quarantine
from forewarn.events.readers.json_rows import json_rows
from forewarn.events.record import event_from_record, parse_time

OPTIONS = ("encoding",)

_ENVELOPE = {
    "id": "event_id",
    "source": "source",
    "subject": "customer_id",
    "type": "type",
    "time": "occurred_at",
    "specversion": None,
    "datacontenttype": None,
    "dataschema": None,
    "data": None,
}
_EXTENSIONS = {name.replace("_", ""): name for name in CORE_FIELDS}


def read(paths: Sequence[Path], cfg: DataConfig, quarantine: Quarantine) -> Iterator[Event]:
    """Yield one event per CloudEvent of the files."""
    for path in paths:
        for line, row in json_rows(path, cfg.option("encoding", "utf-8-sig"), quarantine):
            where = f"{path}:{line}"
            try:
                yield event_from_record(cloudevent_record(row, where), source=cfg.source, where=where, by=cfg.by)
            except EventError as error:
                quarantine.reject(error, row)


def cloudevent_record(envelope: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The flat record of one CloudEvent, for ``event_from_record``; raises EventError when it is no CloudEvent 1.0."""
    if envelope.get("specversion") != "1.0":
        raise EventError(
            "specversion", envelope.get("specversion"), '"1.0"', "send CloudEvents 1.0 in structured mode", where
        )
    for name in ("id", "source", "type"):
        if not envelope.get(name):
            raise EventError(name, envelope.get(name), "a value, CloudEvents 1.0 requires it", f"fill {name}", where)
    if "data_base64" in envelope:
        raise EventError("data_base64", "binary data", "data as JSON", "send the payload as a JSON object", where)
    record: dict[str, Any] = {}
    for name, value in envelope.items():
        field = _ENVELOPE.get(name, _EXTENSIONS.get(name, name))
        if field is not None:
            record[field] = value
    data = envelope.get("data")
    if isinstance(data, str):
        data = {"text": data}
    elif data is not None and not isinstance(data, Mapping):
        raise EventError("data", data, "a JSON object or text", "send the fields of the event as an object", where)
    for name, value in (data or {}).items():
        record[f"data.{name}" if record.get(name) is not None else name] = value
    for name in ("subject", "time"):  # CloudEvents leaves them open, a history needs them
        field = str(_ENVELOPE[name])
        if record.get(field) in (None, ""):
            raise EventError(name, None, f"the event's {field} in every CloudEvent", f"fill {name}", where)
    record["occurred_at"] = parse_time(record["occurred_at"], "time", where)
    return record
