"""Absolute dates and cumulative volumes: numbers that name the day, and so the split and everything that drifts."""

from __future__ import annotations

from collections.abc import Iterator

from forewarn.targets.lint.finding import Check, Hit, Severity
from forewarn.targets.lint.measures import spearman
from forewarn.targets.lint.table import LintTable

_LEAST = 50  # histories
_MONOTONE = 0.9  # Spearman's rho with calendar time
_SPAN_S = 7 * 86_400.0  # data of a few days has no calendar to speak of


def _calendar(table: LintTable) -> Iterator[Hit]:
    if not table.clock:
        return
    for name, column in table.names():
        if column.number is None:
            continue
        # One event a history: within one history every counter grows with time.
        owners, rows = table.firsts(column)
        if len(owners) < _LEAST or table.ingested[rows].max() - table.ingested[rows].min() < _SPAN_S:
            continue
        rho = spearman(column.number[rows], table.ingested[rows])
        if abs(rho) >= _MONOTONE:
            evidence = f"moves with calendar time across {len(owners):,} histories (rho {rho:.2f})"
            yield Hit(Severity.WARNING, name, evidence, {"histories": len(owners), "rho": round(rho, 4)})


CALENDAR = Check(
    trap=3,
    name="calendar in disguise",
    looks_at="numeric inputs that rise or fall with calendar time across histories: dates, ticket numbers, volumes",
    why="After training every value is new. On the ServiceNow log such inputs took the ECE from .036 to .237.",
    fix="Exclude the field; its difference to the event's time (an age, a remaining time) is an honest input.",
    search=_calendar,
)
