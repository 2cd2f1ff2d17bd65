"""The ServiceNow incident log of UCI (data set 498): one row per update of an incident, 36 columns, zip with one CSV.

Design choices
- Order within an incident is ``sys_mod_count``, then ``sys_updated_at``. In the published file the clock runs backwards
  under a growing counter five times, so ``occurred_at`` is the running maximum of ``sys_updated_at`` and sorting by
  time keeps the order; the written time stays as an attribute.
- Types: ticket.created for an incident's first row, ticket.status when ``incident_state`` changed, else ticket.field.
- Every row carries what was known only at the end (``closed_*``, ``resolved_*``). Those columns are not attributes;
  the two times are kept as ``outcome.closed_at`` and ``outcome.resolved_at`` for the split protocols and are no inputs.
- ``made_sla`` is current at its row, thus a legitimate attribute, but the usual label: conf keeps it out of the inputs.
- A caller written "?" is no customer: each such incident gets a customer of its own.
- An incident belongs to the caller who opened it. Three change their caller, and would end in another's history.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from forewarn.events.config import DataConfig
from forewarn.events.event import Event, EventError
from forewarn.events.quarantine import Quarantine
from forewarn.events.readers.csv_rows import CsvDialect, csv_rows
from forewarn.events.record import event_from_record

OPTIONS = ()

_CATEGORICAL = (
    "incident_state",
    "made_sla",
    "location",
    "category",
    "subcategory",
    "u_symptom",
    "cmdb_ci",
    "impact",
    "urgency",
    "priority",
    "assignment_group",
    "assigned_to",
    "knowledge",
    "u_priority_confirmation",
    "notify",
    "opened_by",
    "sys_updated_by",
    "sys_created_by",
)
_COUNTS = ("reassignment_count", "reopen_count", "sys_mod_count")
_TIMES = {
    "sys_updated_at": "sys_updated_at",
    "opened_at": "opened_at",
    "closed_at": "outcome.closed_at",
    "resolved_at": "outcome.resolved_at",
}
_CHANNELS = {
    "Phone": "phone",
    "Email": "email",
    "Self service": "web",
    "IVR": "phone",
    "Direct opening": "in_product",
}
_TIME_LAYOUT = "%d/%m/%Y %H:%M"
_NEEDED = {"number", "caller_id", "contact_type", *_CATEGORICAL, *_COUNTS, *_TIMES}


def read(paths: Sequence[Path], cfg: DataConfig, quarantine: Quarantine) -> Iterator[Event]:
    """Yield one event per row, incident by incident in the order of the updates."""
    for path in paths:
        for row in _ordered(_load(path, quarantine)).iter_rows(named=True):
            where = f"{path}:{row.pop('line')}"
            try:
                yield event_from_record(_checked(row, where), source=cfg.source, where=where, by=cfg.by)
            except EventError as error:
                quarantine.reject(error, row)


def _load(path: Path, quarantine: Quarantine) -> pl.DataFrame:
    """The needed columns as text and the line of each row; "?" is null. Raises ValueError for another file."""
    lines: list[int] = []
    columns: dict[str, list[str]] = {name: [] for name in _NEEDED}
    appends = [(name, cells.append) for name, cells in columns.items()]
    for line, row in csv_rows(path, CsvDialect(), quarantine):
        if not lines and (missing := sorted(_NEEDED - row.keys())):
            raise ValueError(f"{path}: found no column {missing[0]!r}, expected the original 36; fetch the file again")
        lines.append(line)
        for name, append in appends:
            append(row[name])
    frame = pl.DataFrame({"line": lines, **columns}, schema={"line": pl.Int64} | dict.fromkeys(columns, pl.String))
    return frame.with_columns(pl.col(pl.String).replace("?", None))


def _ordered(frame: pl.DataFrame) -> pl.DataFrame:
    """Records of ``event_from_record``, ordered within their incident, plus the line of each."""
    times = {column: pl.col(column).str.to_datetime(_TIME_LAYOUT, time_zone="UTC", strict=False) for column in _TIMES}
    counts = [pl.col(column).cast(pl.Float64, strict=False) for column in _COUNTS]
    frame = frame.with_columns(**times, written_at=pl.col("sys_updated_at")).with_columns(counts)
    frame = frame.sort("number", "sys_mod_count", "sys_updated_at", maintain_order=True)
    position = pl.int_range(pl.len()).over("number")
    changed = (pl.col("incident_state") != pl.col("incident_state").shift()).over("number")
    occurred_at = pl.col("sys_updated_at").cum_max().over("number")
    return frame.select(
        "line",
        "written_at",
        event_id=pl.format("{}-{}", "number", position),
        customer_id=pl.col("caller_id").first().over("number").fill_null("case:" + pl.col("number")),
        case_id="number",
        type=pl.when(position == 0)
        .then(pl.lit("ticket.created"))
        .when(changed)
        .then(pl.lit("ticket.status"))
        .otherwise(pl.lit("ticket.field")),
        occurred_at=occurred_at,
        channel=pl.col("contact_type").replace(_CHANNELS),
        age_s=(occurred_at - pl.col("opened_at")).dt.total_seconds().cast(pl.Float64),
        **{name: pl.col(column).dt.epoch("s").cast(pl.Float64) for column, name in _TIMES.items()},
        **{column: pl.col(column) for column in (*_CATEGORICAL, *_COUNTS)},
    )


def _checked(row: dict[str, object], where: str) -> dict[str, object]:
    """The record of a row; raises EventError where the row's own time or counter could not be read."""
    written_at = row.pop("written_at")
    if row["sys_updated_at"] is None:
        fix = "correct the row or set data.errors=lenient"
        raise EventError("sys_updated_at", written_at, "a time such as 29/2/2016 01:16", fix, where)
    if row["sys_mod_count"] is None:
        raise EventError("sys_mod_count", None, "a whole number", "correct the row or set data.errors=lenient", where)
    return row
