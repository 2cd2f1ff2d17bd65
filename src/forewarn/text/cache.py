"""Text vectors on disk and in memory, found by the hash of their content.

Design choices:
- Every writing process appends to a segment of its own, so writers need no lock and readers never meet a moving row.
  A segment is two files: `<name>.<dim>.f32`, a plain float32 matrix [rows, dim] that any tool can memory-map, and
  `<name>.keys`, per row the 32-byte key and a CRC-32.
- Vectors are written before their keys, and a row exists only when its key is complete: a kill in the middle leaves a
  tail nobody reads. The CRC is checked at every read, which covers a power cut without paying for fsync; a damaged
  row is a miss, is counted and is written again.
- Opening reads the keys alone (36 bytes a row; about 150 bytes of memory a row). Vectors are read when asked for.
- In memory a bounded least-recently-used set answers repeated texts; with no folder it is the whole cache, which is
  what serving uses.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
import zlib
from collections import OrderedDict, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_RECORD = np.dtype([("key", "V32"), ("crc", "<u4")])
_ROW_BITS = 40  # an index entry is segment << 40 | row: one integer instead of a tuple halves the index


class VectorCache:
    """Vectors of width `dim` by 32-byte key, safe across threads and processes.

    Vectors are kept in `folder` (None: in memory only) and the last used `memory_vectors` of them in memory.
    `damaged` counts rows that failed their checksum.
    """

    def __init__(self, folder: str | Path | None, dim: int, *, memory_vectors: int = 65_536) -> None:
        self.folder = None if folder is None else Path(folder)
        self.dim = dim
        self.memory_vectors = memory_vectors
        self.damaged = 0
        self._memory: OrderedDict[bytes, np.ndarray] = OrderedDict()
        self._index: dict[bytes, int] = {}
        self._segments: list[str] = []
        self._number: dict[str, int] = {}  # place of a segment in `_segments`
        self._rows: list[int] = []  # rows known per segment
        self._own: tuple[int, str] | None = None  # the process and the name of the segment it appends to
        self._lock = threading.RLock()
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
        self.refresh()

    def __len__(self) -> int:
        return len(self._index) if self.folder is not None else len(self._memory)

    def refresh(self) -> None:
        """Take in the rows that other processes have added since the last look."""
        if self.folder is None:
            return
        with self._lock:
            # Names start with their time of birth: a row written again later wins over the damaged one before it.
            for path in sorted(self.folder.glob("*.keys")):
                self._take_in(path)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, np.ndarray]:
        """The vectors (float32 [dim], read-only) of those `keys` that are cached."""
        found: dict[bytes, np.ndarray] = {}
        on_disk: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
        with self._lock:
            for key in keys:
                if key in self._memory:
                    self._memory.move_to_end(key)
                    found[key] = self._memory[key]
                elif key in self._index:
                    segment, row = divmod(self._index[key], 1 << _ROW_BITS)
                    on_disk[segment].append((row, key))
            for segment, wanted in on_disk.items():
                found.update(self._read(segment, wanted))
        return found

    def put(self, keys: Sequence[bytes], vectors: np.ndarray) -> None:
        """Keep `vectors` [N, dim] under `keys` (N, distinct); on return they are visible to every later reader."""
        vectors = np.ascontiguousarray(vectors, "<f4")
        if vectors.shape != (len(keys), self.dim):
            raise ValueError(f"text vectors: found shape {vectors.shape}, expected ({len(keys)}, {self.dim})")
        with self._lock:
            for key, vector in zip(keys, vectors, strict=True):
                self._remember(key, vector.copy())
            if self.folder is not None and len(keys) > 0:
                self._append(keys, vectors)

    def _remember(self, key: bytes, vector: np.ndarray) -> None:
        vector.flags.writeable = False
        self._memory[key] = vector
        self._memory.move_to_end(key)
        while len(self._memory) > self.memory_vectors:
            self._memory.popitem(last=False)

    def _files(self, segment: str) -> tuple[Path, Path]:
        assert self.folder is not None
        return self.folder / f"{segment}.keys", self.folder / f"{segment}.{self.dim}.f32"

    def _append(self, keys: Sequence[bytes], vectors: np.ndarray) -> None:
        if self._own is None or self._own[0] != os.getpid():  # a forked child must not share its parent's segment
            self._own = (os.getpid(), f"{time.time_ns():020d}-{secrets.token_hex(4)}")
        segment = self._own[1]
        keys_path, vectors_path = self._files(segment)
        records = np.zeros(len(keys), _RECORD)
        records["key"] = np.frombuffer(b"".join(keys), "V32")
        records["crc"] = [zlib.crc32(vector) for vector in vectors]
        try:
            for path, block in ((vectors_path, vectors), (keys_path, records)):
                with path.open("ab") as file:
                    file.write(block.tobytes())
        except OSError:
            self._own = None  # a full disk may have left half a row: what follows goes to a new segment
            raise
        self._take_in(keys_path)

    def _take_in(self, keys_path: Path) -> None:
        segment = keys_path.name.removesuffix(".keys")
        _, vectors_path = self._files(segment)
        if segment not in self._number:
            self._number[segment] = len(self._segments)
            self._segments.append(segment)
            self._rows.append(0)
        number = self._number[segment]
        known = self._rows[number]
        if keys_path.stat().st_size // _RECORD.itemsize <= known or not vectors_path.exists():
            return
        with keys_path.open("rb") as file:
            file.seek(known * _RECORD.itemsize)
            tail = file.read()
        complete = min(len(tail) // _RECORD.itemsize, vectors_path.stat().st_size // (4 * self.dim) - known)
        place = (number << _ROW_BITS) + known
        for row in range(complete):
            start = row * _RECORD.itemsize
            self._index[tail[start : start + 32]] = place + row
        self._rows[number] = known + max(complete, 0)

    def _read(self, segment: int, wanted: list[tuple[int, bytes]]) -> dict[bytes, np.ndarray]:
        found: dict[bytes, np.ndarray] = {}
        keys_path, vectors_path = self._files(self._segments[segment])
        with keys_path.open("rb") as keys_file, vectors_path.open("rb") as vectors_file:
            for row, key in sorted(wanted):
                keys_file.seek(row * _RECORD.itemsize)
                vectors_file.seek(row * 4 * self.dim)
                record, raw = keys_file.read(_RECORD.itemsize), vectors_file.read(4 * self.dim)
                if len(raw) == 4 * self.dim and record == key + zlib.crc32(raw).to_bytes(4, "little"):
                    found[key] = np.frombuffer(raw, "<f4")
                    self._remember(key, np.frombuffer(raw, "<f4"))
                else:
                    self.damaged += 1
                    del self._index[key]
        return found
