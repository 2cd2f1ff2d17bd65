"""Opening event files: plain, gzip or zip text, with damage reported as the user's file and not as a traceback."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TextIO, cast


@contextmanager
def open_text(path: Path, encoding: str = "utf-8-sig") -> Iterator[TextIO]:
    """Open a text file, unpacked when it ends in .gz or is a .zip with one file.

    Raises ValueError for damage, another encoding (also while the file is read) and a zip of several files.
    """
    try:
        "".encode(encoding)
    except LookupError:
        raise ValueError(
            f"data.options.encoding: found {encoding!r}, expected an encoding of text that Python knows; "
            "for example utf-8 or latin-1"
        ) from None
    try:
        with _open_bytes(path) as file, io.TextIOWrapper(file, encoding=encoding, newline="") as text:
            yield text
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: found bytes that are no {error.encoding}, expected {encoding} text; "
            "set data.options.encoding to the file's encoding"
        ) from error
    except (gzip.BadGzipFile, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: found a damaged archive ({error}), expected a whole one; fetch it again") from error


def _open_bytes(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path))
    if path.suffix == ".zip":
        archive = zipfile.ZipFile(path)
        members = [member for member in archive.infolist() if not member.is_dir()]
        if len(members) != 1:
            raise ValueError(
                f"{path}: found {len(members)} files in the zip, expected one; unpack it and name the file"
            )
        return archive.open(members[0])
    return path.open("rb")


def suffix(path: Path) -> str:
    """The kind of a file from its name, without .gz: "events.csv.gz" -> ".csv"."""
    return Path(path.name.removesuffix(".gz")).suffix.lower()
