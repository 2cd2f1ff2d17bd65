"""Rows of CSV files, each column typed once for the whole data set.

A first streaming pass decides: a column whose every value parses as a number is numeric, one whose every value is true
or false in any case holds truth values, any other is categorical. A cell is never typed on its own, because "007" among
product codes must not turn into 7.0 in one row and stay text in the next. Configuration can force a column either way.
The csv module reads, because it alone knows the line a row is on.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import polars as pl

from forewarn.events.event import EventError
from forewarn.events.quarantine import Quarantine
from forewarn.events.readers.files import open_text, suffix

_BATCH_ROWS = 20_000
# An e-mail thread in one cell passes the csv module's 128 KiB; beyond this a quote was never closed.
_LARGEST_CELL = 1 << 24


class CsvDialect(NamedTuple):
    """How the cells of the files are written: delimiter None means a tab in .tsv files and a comma elsewhere."""

    delimiter: str | None = None
    encoding: str = "utf-8-sig"
    missing: frozenset[str] = frozenset()


class ColumnTypes(NamedTuple):
    """Names of the columns that hold numbers, and of those that hold truth values, in every row of every file."""

    numbers: frozenset[str] = frozenset()
    truths: frozenset[str] = frozenset()


def csv_rows(path: Path, dialect: CsvDialect, quarantine: Quarantine) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line, cells by column name) for every whole row; broken rows go to the quarantine.

    Raises ValueError for a file without a header or with a column name twice.
    """
    for line, header, cells in _rows(path, dialect):
        if isinstance(cells, csv.Error):
            found, expected = str(cells), "a row of quoted or plain cells"
        elif len(cells) != len(header):
            found, expected = f"{len(cells)} cells", f"{len(header)} cells, as in the header"
        else:
            yield line, dict(zip(header, cells, strict=True))
            continue
        fix = "quote cells that hold the delimiter, a quote or a line break"
        quarantine.reject(EventError("row", found, expected, fix, f"{path}:{line}"), str(cells))


def column_types(paths: Sequence[Path], dialect: CsvDialect, text: Collection[str]) -> ColumnTypes:
    """The types that the non-missing values of all files agree on; the columns in ``text`` are never numbers."""
    accepts = {"numbers": _all_numbers, "truths": _all_truths}
    agreed: dict[str, set[str]] = {kind: set() for kind in accepts}
    refuted = {"numbers": set(text), "truths": set()}
    for path in paths:
        rows = ((header, cells) for _, header, cells in _rows(path, dialect) if isinstance(cells, list))
        while batch := list(islice(rows, _BATCH_ROWS)):
            header = batch[0][0]
            columns = zip(*(cells for _, cells in batch if len(cells) == len(header)), strict=True)
            for name, values in zip(header, columns, strict=False):
                open_kinds = [kind for kind in accepts if name not in refuted[kind]]
                cells = _present(values, dialect.missing) if open_kinds else None
                if cells is None or cells.is_empty():  # nothing to judge by
                    continue
                for kind in open_kinds:
                    (agreed if accepts[kind](cells) else refuted)[kind].add(name)
    return ColumnTypes(**{kind: frozenset(agreed[kind] - refuted[kind]) for kind in accepts})


def _present(values: Sequence[str], missing: Collection[str]) -> pl.Series:
    cells = pl.Series([value for value in values if value and value not in missing], dtype=pl.String).str.strip_chars()
    return cells.filter(cells != "")


def _all_numbers(cells: pl.Series) -> bool:
    return not cells.cast(pl.Float64, strict=False).has_nulls()


def _all_truths(cells: pl.Series) -> bool:
    return bool(cells.str.to_lowercase().is_in(["true", "false"]).all())


def _rows(path: Path, dialect: CsvDialect) -> Iterator[tuple[int, list[str], list[str] | csv.Error]]:
    """Yield (first line of the row, header, cells or what is wrong with them); blank lines are passed over."""
    csv.field_size_limit(_LARGEST_CELL)
    delimiter = dialect.delimiter or ("\t" if suffix(path) == ".tsv" else ",")
    with open_text(path, dialect.encoding) as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        header = _header(path, next(chain(reader, [[]])))
        while True:
            line = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield line, header, error
                continue
            if cells:
                yield line, header, cells


def _header(path: Path, header: list[str]) -> list[str]:
    """The column names; one without a name (an exported row index) is kept as "" and ignored by the table reader."""
    names = [name.strip() for name in header]
    if not any(names):
        raise ValueError(f"{path}: found an empty file, expected a first line with column names; give a file with rows")
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise ValueError(f"{path}:1: found the column {twice[0]!r} twice, expected each name once; rename one of them")
    return names
