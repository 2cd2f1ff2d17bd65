"""Objects of JSON files: one per line in .jsonl and .ndjson, one object or one array of objects in .json."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import msgspec

from forewarn.events.event import EventError
from forewarn.events.quarantine import Quarantine
from forewarn.events.readers.files import open_text, suffix

_DECODER = msgspec.json.Decoder()


class _Broken(NamedTuple):
    """A line that is not JSON, and what would make it so."""

    text: str
    fix: str


def json_rows(path: Path, encoding: str, quarantine: Quarantine) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line, object), or (position in the array, object) for .json; what is no object goes to the quarantine.

    Raises ValueError for an empty file and for a .json file that is not JSON as a whole.
    """
    found_any = False
    with open_text(path, encoding) as file:
        for line, value in _document(path, file) if suffix(path) == ".json" else _lines(file):
            found_any = True
            if isinstance(value, dict):
                yield line, value
                continue
            where = f"{path}:{line}"
            if isinstance(value, _Broken):
                quarantine.reject(EventError("row", value.text, "a JSON object", value.fix, where), value.text)
            else:
                fix = "write each event as an object of named fields"
                quarantine.reject(EventError("row", value, "a JSON object", fix, where), value)
    if not found_any:
        raise ValueError(f"{path}: found an empty file, expected JSON objects; give a file with events")


def _lines(file: TextIO) -> Iterator[tuple[int, Any]]:
    for line, text in enumerate(file, 1):
        if text.isspace():
            continue
        try:
            yield line, _DECODER.decode(text)
        except msgspec.DecodeError as error:
            yield line, _Broken(text.strip(), f"correct the JSON: {error}")


def _document(path: Path, file: TextIO) -> Iterator[tuple[int, Any]]:
    try:
        document = _DECODER.decode(file.read())
    except msgspec.DecodeError as error:
        raise ValueError(
            f"{path}: found text that is no JSON document ({error}), expected one object or an array of objects; "
            "name a file with one object per line .jsonl"
        ) from error
    yield from enumerate(document if isinstance(document, list) else [document], 1)
