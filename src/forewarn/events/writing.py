"""Writing events as a table that the generic reader takes back: one row per event, one column per field.

Attributes are only known once all events were seen, so Parquet is written in parts that are then joined; memory is
bounded by one part.
"""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from forewarn.events.event import CORE_FIELDS, Event
from forewarn.events.record import as_text, record_from_event

_PART_EVENTS = 100_000


def write_events(events: Iterable[Event], path: Path) -> int:
    """Write events to .parquet, .jsonl or .jsonl.gz and return how many; an attribute of mixed types becomes text.

    The file appears complete or not at all. Raises ValueError for another file type.
    """
    path = Path(path)
    kind = "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix
    write = {".parquet": _write_parquet, ".jsonl": _write_jsonl, ".jsonl.gz": _write_jsonl}.get(kind)
    if write is None:
        raise ValueError(f"{path}: found the file type {kind!r}, expected .parquet, .jsonl or .jsonl.gz; rename it")
    path.parent.mkdir(parents=True, exist_ok=True)
    building = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        written = write(iter(events), building)
        building.rename(path)
    finally:
        building.unlink(missing_ok=True)
    return written


def _write_jsonl(events: Iterator[Event], path: Path) -> int:
    written = 0
    with gzip.open(path, "wb") if path.suffix == ".gz" else path.open("wb") as file:
        for event in events:
            file.write(msgspec.json.encode(record_from_event(event)) + b"\n")
            written += 1
    return written


def _write_parquet(events: Iterator[Event], path: Path) -> int:
    parts = path.with_suffix(".parts")
    parts.mkdir()
    written = 0
    try:
        files: list[Path] = []
        while batch := list(islice(events, _PART_EVENTS)):
            files.append(parts / f"{len(files):06d}.parquet")
            _frame(batch).write_parquet(files[-1])
            written += len(batch)
        if not files:
            _frame([]).write_parquet(path)
        else:
            joined = pl.concat([pl.scan_parquet(file) for file in files], how="diagonal_relaxed")
            attributes = sorted(set(joined.collect_schema()) - set(CORE_FIELDS))
            joined.select(*CORE_FIELDS, *attributes).sink_parquet(path)
    finally:
        shutil.rmtree(parts)
    return written


def _frame(events: list[Event]) -> pl.DataFrame:
    time = pl.Datetime("us", "UTC")
    core: dict[str, Any] = {
        name: pl.Series([getattr(event, name) for event in events], dtype=time if name.endswith("_at") else pl.String)
        for name in CORE_FIELDS
    }
    names = sorted({name for event in events for name in event.attributes})
    return pl.DataFrame(core | {name: _column([event.attributes.get(name) for event in events]) for name in names})


def _column(values: list[str | float | None]) -> pl.Series:
    if any(isinstance(value, str) for value in values):
        return pl.Series([value if value is None else as_text(value) for value in values], dtype=pl.String)
    return pl.Series(values, dtype=pl.Float64)
