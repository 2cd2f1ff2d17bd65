"""The summary of kept results: every claim beside what its record measured, in one table of a page of prose."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.report import METRICS, SHOWN_MODELS, interval, number, table
from training.results.claims import LOWER, SHIPPED, Claim, Entry
from training.results.record import Record, load_record, record_path

BEGIN = "<!-- claims: written by python -m training.evaluate suite=all; the text around this table is yours -->"
END = "<!-- end of the claims -->"
MET, NOISE, MISSED, OPEN = "met", "within noise", "missed", "-"
_HEADER = ("data and question", "measure", "to beat", "reach", "measured", "model", "commit", "date", "is it met")
_NAMES = {name: title for own in METRICS.values() for name, title in own.items()}


def summary_table(entries: Mapping[str, Entry], page: Path) -> str:
    """Markdown, a row per claim, with links as from ``page``; dashes where an entry has no record yet."""
    rows = []
    for entry in entries.values():
        path = record_path(Path(entry.page))
        record = load_record(path) if path.is_file() else None
        shown = f"[{entry.about}]({os.path.relpath(entry.page, page.parent)})" if record else entry.about
        rows += [[shown, *_row(claim, record)] for claim in entry.claims]
    return table(_HEADER, rows)


def verdicts(entries: Mapping[str, Entry]) -> dict[str, int]:
    """How many claims are met, within noise, missed and not measured yet."""
    found = dict.fromkeys((MET, NOISE, MISSED, OPEN), 0)
    for entry in entries.values():
        path = record_path(Path(entry.page))
        record = load_record(path) if path.is_file() else None
        for claim in entry.claims:
            found[verdict(claim, record)] += 1
    return found


def write_summary(page: Path, claims: str) -> None:
    """Puts the table between its marks in ``page``, made where there is none; ValueError where the marks are gone."""
    text = page.read_text() if page.is_file() else f"# Results\n\n{BEGIN}\n{END}\n"
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(
            f"summary: found no lines {BEGIN!r} and {END!r} in {page}, expected both around the table; put them back"
        )
    page.write_text(f"{before}{begin}\n\n{claims}\n\n{end}{after}")


def verdict(claim: Claim, record: Record | None) -> str:
    """Met; within noise, where the value is short of the reach but its interval holds it; missed; or not known.

    Values are compared as the table shows them, so that nobody wonders about digits that nobody sees.
    """
    measured, reach = measured_value(claim, record), _reach(claim, record)
    if measured is None or measured["value"] is None or reach is None:
        return OPEN
    if not _short(claim, measured["value"], reach):
        return MET
    best = measured["low" if claim.measure in LOWER else "high"]
    return NOISE if best is not None and not _short(claim, best, reach) else MISSED


def _short(claim: Claim, value: float, reach: float) -> bool:
    value, reach = (round(own, _digits(claim)) for own in (value, reach))
    return value > reach if claim.measure in LOWER else value < reach


def measured_value(claim: Claim, record: Record | None, row: str | None = None) -> Mapping[str, Any] | None:
    """The estimate that a record holds for a claim, of the claim's row or another; None without record or row.

    Raises ValueError where the record has the row but not the task, horizon or measure.
    """
    if record is None:
        return None
    row = _model(claim, record) if row is None else row
    result = record["metrics"].get(row)
    if result is None:
        return None
    for name in _path(claim):
        if not isinstance(result, Mapping) or name not in result:
            raise ValueError(
                f"claims: found {name!r}, expected one of {', '.join(result)} of {row} in {record['title']}; correct "
                "the claim in conf/suite"
            )
        result = result[name]
    if claim.k is not None:
        entry = next((own for own in result if own["k"] == claim.k), None)
        result = None if entry is None else entry["variable"].get("auroc")
    return result


def _path(claim: Claim) -> list[str]:
    horizon = [] if claim.horizon is None else ["horizons", claim.horizon]
    return [claim.task, *horizon, claim.measure if claim.k is None else "by_prefix"]


def _model(claim: Claim, record: Record) -> str:
    return str(record["shipped"].get(claim.task)) if claim.row == SHIPPED else claim.row


def _reach(claim: Claim, record: Record | None) -> float | None:
    return claim.reach if claim.reach is not None else _beat(claim, record)


def _beat(claim: Claim, record: Record | None) -> float | None:
    if claim.beat is not None or claim.rival is None:
        return claim.beat
    measured = measured_value(claim, record, claim.rival)
    return None if measured is None else measured["value"]


def _row(claim: Claim, record: Record | None) -> list[str]:
    digits = _digits(claim)
    reach, beat = (None if own is None else number(own, digits) for own in (
        _reach(claim, record), _beat(claim, record)
    ))  # fmt: skip
    source = claim.source or (f"{shown_model(claim.rival)}, same page" if claim.rival else "")
    model = claim.row if record is None else _model(claim, record)
    return [
        _measure(claim),
        f"{beat or OPEN} ({source})" if source else beat or OPEN,
        f"{'≤' if claim.measure in LOWER else '≥'} {reach}" if reach else OPEN,
        interval(measured_value(claim, record), digits),
        shown_model(model) + (" (shipped)" if record and claim.row == SHIPPED else ""),
        f"`{record['commit']}`" if record else OPEN,
        record["date"] if record else OPEN,
        verdict(claim, record),
    ]


def shown_model(row: str) -> str:
    """A row as tables show it."""
    return SHOWN_MODELS.get(row, row)


def _digits(claim: Claim) -> int:
    return 2 if claim.measure == "mae" else 3


def _measure(claim: Claim) -> str:
    name = _NAMES[claim.measure] + (f", k = {claim.k}" if claim.k is not None else "")
    return ", ".join(part for part in (claim.task, claim.horizon, name) if part)
