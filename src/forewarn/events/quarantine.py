"""Bad rows: strict mode stops at the first, lenient mode sets each aside in a file and counts it.

Every reader hands its bad rows to the same Quarantine, so that no reader decides on its own what an error means.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import msgspec

from forewarn.events.event import EventError


class Quarantine:
    """Receives rejected rows; ``count`` is how many. The JSONL file appears with the first row set aside."""

    def __init__(self, path: Path | None = None) -> None:
        """``path`` None is strict mode. A file left by an earlier run is removed: it describes other rows."""
        self.path = path
        self.count = 0
        self._file: BinaryIO | None = None
        if path is not None:
            path.unlink(missing_ok=True)

    def reject(self, error: EventError, row: Any) -> None:
        """Raise the error in strict mode, else append it with the raw row to the quarantine file."""
        if self.path is None:
            raise error
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("wb")
        file, _, line = error.where.rpartition(":")
        entry = {"file": file, "line": int(line) if line.isdigit() else line, **error.as_dict(), "row": row}
        self._file.write(msgspec.json.encode(entry, enc_hook=repr) + b"\n")
        self.count += 1

    def __enter__(self) -> Quarantine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
