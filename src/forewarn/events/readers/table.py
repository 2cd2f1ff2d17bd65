"""The generic table: CSV, JSONL and Parquet with the columns of an event; every other column is an attribute.

``columns`` names the file's column for a field (one column may serve several fields, and an attribute can be renamed
the same way); a column under another name than its field must be there. ``inputs.categorical`` and ``inputs.numeric``
given as lists force the type of a column; a value that then is no number is a bad row. The column in ``by`` is text, so
that 007 and 7 are two histories. Without an event_id column every row is an event of its own, named by file and line.

Options: delimiter, encoding (of CSV and JSONL), missing (texts that stand for no value, such as "?" or "NA").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from forewarn.events.config import DataConfig
from forewarn.events.event import CORE_FIELDS, Event, EventError
from forewarn.events.quarantine import Quarantine
from forewarn.events.readers.csv_rows import CsvDialect, column_types, csv_rows
from forewarn.events.readers.files import suffix
from forewarn.events.readers.json_rows import json_rows
from forewarn.events.readers.parquet_rows import parquet_rows
from forewarn.events.record import REQUIRED_FIELDS, as_text, event_from_record

FIRST_TICK = datetime(2000, 1, 1, tzinfo=UTC)  # where histories without a clock begin

_CSV = (".csv", ".tsv")
_JSON = (".jsonl", ".ndjson", ".json")
_PARQUET = (".parquet", ".pq")
_TIMES = ("occurred_at", "ingested_at")
_DELIMITER = """'data.options.delimiter=";"'"""  # as a shell and Hydra take it

OPTIONS = ("delimiter", "encoding", "missing")

Convert = Callable[[Any], Any]
Plan = list[tuple[str, str, Convert | None]]


def read(paths: Sequence[Path], cfg: DataConfig, quarantine: Quarantine) -> Iterator[Event]:
    """Yield one event per row; raises ValueError for a file or a column mapping that cannot be used."""
    dialect = _dialect(cfg)
    columns = _Columns(cfg, paths, dialect)
    ticks: Counter[str] = Counter()
    names = Counter(path.name for path in paths)
    for number, path in enumerate(paths):
        label = path.name if names[path.name] == 1 else f"{path.name}#{number}"
        for line, row in table_rows(path, dialect, quarantine):
            where = f"{path}:{line}"
            try:
                record = columns.record(row, where)
                if cfg.clock == "none":
                    _tick(record, cfg.by, ticks)
                yield event_from_record(record, source=cfg.source, where=where, by=cfg.by, default_id=f"{label}:{line}")
            except EventError as error:
                quarantine.reject(error, row)


def _dialect(cfg: DataConfig) -> CsvDialect:
    delimiter = cfg.option("delimiter", None)
    if delimiter is not None and (not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n'):
        raise ValueError(
            f"data.options.delimiter: found {delimiter!r}, expected one character; for example {_DELIMITER}, or null "
            "for a comma"
        )
    missing = frozenset(as_text(word) for word in cfg.option("missing", []))
    return CsvDialect(delimiter, cfg.option("encoding", "utf-8-sig"), missing)


class _Columns:
    """Turns rows into records: columns renamed, values of forced or inferred type, missing values left out."""

    def __init__(self, cfg: DataConfig, paths: Sequence[Path], dialect: CsvDialect) -> None:
        self._mapping = cfg.columns
        self._missing = dialect.missing
        # Objects leave out what they do not have, so that a missing name says nothing about the mapping.
        self._ragged = any(suffix(path) in _JSON for path in paths)
        self._plans: dict[tuple[str, ...], Plan] = {}
        categorical = cfg.inputs.categorical if isinstance(cfg.inputs.categorical, list) else []
        numeric = cfg.inputs.numeric if isinstance(cfg.inputs.numeric, list) else []
        self._required = [name for name in REQUIRED_FIELDS if cfg.clock == "time" or name != "occurred_at"]
        csv_files = [path for path in paths if suffix(path) in _CSV]
        # The type is a question about attributes: what becomes a field of the envelope stays as it is written.
        sources = [cfg.columns.get(name, name) for name in (*CORE_FIELDS, *categorical, *numeric, cfg.by)]
        self._types = column_types(csv_files, dialect, sources)
        forced: dict[str, Convert] = dict.fromkeys(numeric, _number) | dict.fromkeys([*categorical, cfg.by], _code)
        self._forced = {name: convert for name, convert in forced.items() if name not in CORE_FIELDS}
        if cfg.time_format is not None:
            self._forced |= dict.fromkeys(_TIMES, partial(_time, cfg.time_format))

    def record(self, row: dict[str, Any], where: str) -> dict[str, Any]:
        """The row under the names of an event; raises EventError naming a value of the wrong type."""
        columns = tuple(row)
        plan = self._plans.get(columns)
        if plan is None:
            plan = self._plans[columns] = self._plan(columns, where)
        record: dict[str, Any] = {}
        for name, column, convert in plan:
            value = row[column]
            if value is None or value == "" or (type(value) is str and value in self._missing):
                continue
            if convert is not None:
                try:
                    value = convert(value)
                except ValueError as error:
                    fix = f"correct the value or the setting that gives column {column!r} its type"
                    raise EventError(name, value, str(error), fix, where) from None
            record[name] = value
        return record

    def _plan(self, columns: tuple[str, ...], where: str) -> Plan:
        mapped = set(self._mapping.values())
        own = {column: column for column in columns if column not in mapped and column}
        for name, column in self._mapping.items():
            if column not in columns:
                if name != column and not self._ragged:
                    raise ValueError(
                        f"data.columns.{name}: found no column {column!r} in {where}, expected one of "
                        f"{', '.join(columns)}; correct data.columns.{name}"
                    )
            elif name in own:
                raise ValueError(
                    f"data.columns.{name}: found a column {name!r} in {where} beside the mapped {column!r}, expected "
                    f"one; keep the other under a new name with +data.columns.file_{name}={name}"
                )
            else:
                own[name] = column
        if not self._ragged and (absent := [name for name in self._required if name not in own]):
            fix = f"map the column that holds it with data.columns.{absent[0]}=NAME"
            if len(columns) == 1:
                fix = f"name what separates the cells, for example {_DELIMITER}, or {fix}"
            raise ValueError(
                f"{where.rpartition(':')[0]}: found no column {absent[0]!r}, expected it among the columns "
                f"{', '.join(columns)}; {fix}"
            )
        return [(name, column, self._convert(name, column)) for name, column in own.items()]

    def _convert(self, name: str, column: str) -> Convert | None:
        forced = self._forced.get(name)
        if forced in (None, _code) and column in self._types.truths and name not in CORE_FIELDS:
            return _truth
        return forced or (_number if column in self._types.numbers else None)


def table_rows(path: Path, dialect: CsvDialect, quarantine: Quarantine) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line, values by column) of a table in any of the formats; raises ValueError for another kind of file."""
    kind = suffix(path)
    if kind in _CSV:
        return csv_rows(path, dialect, quarantine)
    if kind in _JSON:
        return json_rows(path, dialect.encoding, quarantine)
    if kind in _PARQUET:
        return parquet_rows(path)
    known = ", ".join(_CSV + _JSON + _PARQUET)
    raise ValueError(f"{path}: found the file type {kind!r}, expected one of {known}; rename or convert the file")


def _tick(record: dict[str, Any], by: str, ticks: Counter[str]) -> None:
    """Put the record one second after the previous one of its history."""
    key = str(record.get(by))
    record["occurred_at"] = FIRST_TICK + timedelta(seconds=ticks[key])
    record.pop("ingested_at", None)
    ticks[key] += 1


def _number(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        raise ValueError("a number") from None


def _code(value: Any) -> Any:
    """Codes that are written as numbers, as the text they would have in a CSV file; NaN is a missing one."""
    return None if value != value else as_text(value) if isinstance(value, int | float) else value


def _truth(value: Any) -> Any:
    """A truth value as JSON and Parquet write it: True, TRUE and true are one category."""
    return as_text(value).strip().lower()


@lru_cache(maxsize=65536)
def _time(layout: str, value: Any) -> Any:
    try:
        if layout in ("epoch_s", "epoch_ms"):
            return datetime.fromtimestamp(float(value) / (1000 if layout == "epoch_ms" else 1), UTC)
        return datetime.strptime(value, layout) if isinstance(value, str) else value
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"a time written as data.time_format={layout}") from None
