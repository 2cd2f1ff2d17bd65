"""Events grouped by history key without holding them all: hash buckets that spill to disk.

A bucket is a range of the key's hash, and inside a bucket histories are ordered by (hash, key). Walking the buckets
therefore gives one global order that depends neither on how many buckets there are nor on whether anything was spilled.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from forewarn.events.event import Event

_CHUNK = msgspec.msgpack.Decoder(list[tuple[str, Event]])


class HashBuckets:
    """Keyed events in ``buckets`` groups, at most ``memory_events`` of them in memory while they are added."""

    def __init__(self, folder: Path, *, buckets: int, memory_events: int) -> None:
        self._folder = folder
        self._memory_events = memory_events
        self._pending: list[list[tuple[str, Event]]] = [[] for _ in range(buckets)]
        self._held = 0

    def add(self, key: str, event: Event) -> None:
        """Put one event to its history's bucket; events of one history keep the order in which they are added."""
        self._pending[_hash(key) * len(self._pending) >> 32].append((key, event))
        self._held += 1
        if self._held >= self._memory_events:
            self._spill()

    def histories(self) -> Iterator[tuple[str, list[Event]]]:
        """Every key with its events in the order added; needs the memory of the largest bucket."""
        for bucket, pending in enumerate(self._pending):
            grouped: dict[str, list[Event]] = {}
            for chunk in (*self._spilled(bucket), pending):
                for key, event in chunk:
                    grouped.setdefault(key, []).append(event)
            pending.clear()
            for key in sorted(grouped, key=lambda key: (_hash(key), key)):
                yield key, grouped[key]

    def _spill(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        for bucket, pending in enumerate(self._pending):
            if pending:
                chunk = msgspec.msgpack.encode(pending)
                with self._file(bucket).open("ab") as file:
                    file.write(len(chunk).to_bytes(8, "little") + chunk)
                pending.clear()
        self._held = 0

    def _spilled(self, bucket: int) -> Iterator[list[tuple[str, Event]]]:
        path = self._file(bucket)
        if not path.exists():
            return
        with path.open("rb") as file:
            while size := file.read(8):
                yield _CHUNK.decode(file.read(int.from_bytes(size, "little")))
        path.unlink()

    def _file(self, bucket: int) -> Path:
        return self._folder / f"{bucket:04d}.msgpack"


def _hash(key: str) -> int:
    """A 32-bit hash that is the same in every process, unlike hash()."""
    return zlib.crc32(key.encode("utf-8", "surrogatepass"))
