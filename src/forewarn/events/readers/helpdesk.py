"""The Italian help desk log: one row per activity of a ticket, in source order where seconds are equal.

The log names no customer, so a ticket stands for one. Activities become ``ticket.<activity>``; the constant and derived
columns (lifecycle, variant, creator) are left out, because a variant is the whole case and would reveal its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from forewarn.events.config import DataConfig
from forewarn.events.event import Event, EventError
from forewarn.events.quarantine import Quarantine
from forewarn.events.readers.csv_rows import CsvDialect, csv_rows
from forewarn.events.record import event_from_record

OPTIONS = ()

_COLUMNS = ("case:concept:name", "concept:name", "org:resource", "time:timestamp")


def read(paths: Sequence[Path], cfg: DataConfig, quarantine: Quarantine) -> Iterator[Event]:
    """Yield one event per row; raises ValueError for a file without the log's columns."""
    for path in paths:
        for line, row in csv_rows(path, CsvDialect(), quarantine):
            if not row.keys() >= set(_COLUMNS):
                raise ValueError(
                    f"{path}: found columns {', '.join(row)}, expected {', '.join(_COLUMNS)}; "
                    "give the original Helpdesk log, or read this file with data=table"
                )
            case, activity, resource, time = (row[name] for name in _COLUMNS)
            record = {
                "customer_id": case,
                "case_id": case,
                "type": f"ticket.{activity.strip().lower().replace(' ', '_')}" if activity.strip() else None,
                "occurred_at": time,
                "resource": resource,
            }
            where = f"{path}:{line}"
            try:
                yield event_from_record(record, source=cfg.source, where=where, default_id=str(line), by=cfg.by)
            except EventError as error:
                quarantine.reject(error, row)
