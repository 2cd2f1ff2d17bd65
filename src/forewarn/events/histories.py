"""Histories on disk: built out of core from any stream of events, read back one at a time.

Design choices
- Events pass through hash buckets (buckets.py), then each history is ordered and freed of duplicates by
  ``make_history``: memory is bounded by the largest bucket, not by the data set.
- One file of concatenated msgpack records and an array of offsets, read through mmap: iteration streams, and any
  history can be fetched by position.
- A store is written under a temporary name and renamed, so a folder that exists is complete.
- The fingerprint is the SHA-256 of the records, whose keys are sorted: it names the content, not the way it was read.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import shutil
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from forewarn.events.buckets import HashBuckets
from forewarn.events.event import Event
from forewarn.events.history import History, make_history
from forewarn.events.quarantine import Quarantine
from forewarn.events.record import as_text, keyless

_FORMAT = 1
_RECORDS, _OFFSETS, _META = "histories.msgpack", "offsets.npy", "store.json"


class HistoryStore:
    """The histories of one data set in a folder; iterates in a fixed order, keeps none in memory.

    ``counts``: events kept, histories, duplicates dropped (found within a history only), out_of_order (events that
    became visible before the event given ahead of them), quarantined. ``fingerprint``: SHA-256 of the content. ``by``:
    the field that makes a history.
    """

    def __init__(self, folder: Path) -> None:
        """Open a store; raises ValueError when the folder holds none, or one of another format."""
        self.folder = Path(folder)
        meta = _read_meta(self.folder)
        self.counts: dict[str, int] = meta["counts"]
        self.fingerprint: str = meta["fingerprint"]
        self.by: str = meta["by"]
        self._offsets = np.load(self.folder / _OFFSETS)
        with (self.folder / _RECORDS).open("rb") as file:
            self._records = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._decoder = msgspec.msgpack.Decoder(History)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, index: int) -> History:
        position = range(len(self))[index]
        return self._decode(int(self._offsets[position]), int(self._offsets[position + 1]))

    def __iter__(self) -> Iterator[History]:
        return (self._decode(start, end) for start, end in pairwise(self._offsets.tolist()))

    def _decode(self, start: int, end: int) -> History:
        return self._decoder.decode(self._records[start:end])


def build_histories(
    events: Iterable[Event],
    folder: Path,
    *,
    by: str = "customer_id",
    quarantine: Quarantine | None = None,
    buckets: int = 256,
    memory_events: int = 100_000,
) -> HistoryStore:
    """Group events into histories by the value of a field and write them to a folder.

    Events without that field go to the quarantine. An existing store in the folder is replaced.

    Raises EventError for such an event in strict mode, ValueError when no event remains or the folder holds something
    else.
    """
    folder = Path(folder)
    quarantine = quarantine or Quarantine()
    if folder.exists() and any(folder.iterdir()) and not (folder / _META).exists():
        raise ValueError(f"{folder}: found a folder that is no history store, expected a new folder; name another one")
    building = folder.with_name(f".{folder.name}.{os.getpid()}.building")
    try:
        building.mkdir(parents=True)
        grouped = HashBuckets(building / "buckets", buckets=buckets, memory_events=memory_events)
        for event in events:
            key = _history_key(event, by)
            if key is None:
                quarantine.reject(keyless(by, f"event {event.event_id} of {event.source}"), event)
            else:
                grouped.add(key, event)
        _write(grouped, building, by, quarantine)
        shutil.rmtree(building / "buckets", ignore_errors=True)
        if folder.exists():
            shutil.rmtree(folder)
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return HistoryStore(folder)


def _write(grouped: HashBuckets, folder: Path, by: str, quarantine: Quarantine) -> None:
    counts = {"events": 0, "histories": 0, "duplicates": 0, "out_of_order": 0, "quarantined": quarantine.count}
    digest = hashlib.sha256()
    encoder = msgspec.msgpack.Encoder(order="deterministic")
    offsets = [0]
    with (folder / _RECORDS).open("wb") as file:
        for history_id, given in grouped.histories():
            history = make_history(history_id, given)
            counts["histories"] += 1
            counts["events"] += len(history.events)
            counts["duplicates"] += len(given) - len(history.events)
            counts["out_of_order"] += sum(after.ingested_at < before.ingested_at for before, after in pairwise(given))
            record = encoder.encode(history)
            digest.update(record)
            file.write(record)
            offsets.append(offsets[-1] + len(record))
    if not counts["histories"]:
        aside = f"; all {quarantine.count} rows were set aside in {quarantine.path}" if quarantine.count else ""
        raise ValueError(f"data.events: found no events, expected at least one{aside}; give files that hold events")
    np.save(folder / _OFFSETS, np.asarray(offsets, dtype=np.int64))
    meta = {"format": _FORMAT, "by": by, "counts": counts, "fingerprint": digest.hexdigest()}
    (folder / _META).write_text(json.dumps(meta, indent=2) + "\n")


def _read_meta(folder: Path) -> dict[str, Any]:
    path = folder / _META
    if not path.is_file():
        raise ValueError(f"{folder}: found no {_META}, expected a history store; build one with open_histories")
    meta: dict[str, Any] = json.loads(path.read_text())
    if meta.get("format") != _FORMAT:
        raise ValueError(f"{path}: found format {meta.get('format')!r}, expected {_FORMAT}; build the store again")
    return meta


def _history_key(event: Event, by: str) -> str | None:
    value = event.value(by)
    return as_text(value) if isinstance(value, str | float) else None
