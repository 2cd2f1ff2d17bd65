"""Trap 2, current instead of at-event values: what an export of today's tickets writes on every row of the past."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from forewarn.targets.lint.finding import Check, Hit, Severity
from forewarn.targets.lint.measures import spearman
from forewarn.targets.lint.names import COUNTER, SETTLED, STATE, words
from forewarn.targets.lint.table import LEAST, Column, LintTable

CONSTANT = 0.99  # share of longer histories in which a field never changes
_SETTLED_SHARE = 0.3  # of histories that begin settled: more than are opened by mistake
_FOLLOWS = 0.7  # Spearman's rho of a counter on the first event with the number of events still to come


def _current(table: LintTable) -> Iterator[Hit]:
    for name, column in table.names():
        if name == "type":
            continue
        owners, rows, share = table.constants(column)
        if len(owners) < LEAST or share < CONSTANT or len(np.unique(column.code[rows])) < 2:
            continue
        hit = _settled(name, column, rows) if column.number is None else _counter(table, name, column, owners, rows)
        if hit is not None:
            severity, evidence, figures = hit
            told = f"never changes in {share:.1%} of the {len(owners):,} histories that carry it on 3 events or more"
            yield Hit(severity, name, f"{told}; {evidence}", {"histories": len(owners), "constant": share, **figures})


def _settled(name: str, column: Column, rows: np.ndarray) -> tuple[Severity, str, dict[str, float]] | None:
    share = float(column.says(SETTLED)[rows].mean())
    if share >= _SETTLED_SHARE:
        evidence = f"{share:.1%} of these show a settled state such as closed on their first event, with more to come"
        return Severity.ERROR, evidence, {"settled_at_first": round(share, 4)}
    if words(name) & STATE:
        return Severity.WARNING, "its name says it is a state, which moves", {"settled_at_first": round(share, 4)}
    return None


def _counter(
    table: LintTable, name: str, column: Column, owners: np.ndarray, rows: np.ndarray
) -> tuple[Severity, str, dict[str, float]] | None:
    if not words(name) & COUNTER:
        return None
    assert column.number is not None
    rho = spearman(column.number[rows], table.length[owners].astype(np.float64))
    evidence = (
        f"its name says it counts, and on the first event it follows the number of events to come (rho {rho:.2f})"
    )
    if abs(rho) >= _FOLLOWS:
        return Severity.ERROR, evidence, {"rho_length": round(rho, 4)}
    if float((column.number[rows] > 0).mean()) >= 0.1:
        return Severity.WARNING, "its name says it counts, which moves", {"rho_length": round(rho, 4)}
    return None


CURRENT = Check(
    trap=2,
    name="current instead of at-event value",
    looks_at="fields named like a state or a counter, or holding settled states, that never change within a history",
    why="A value filled in from today's record is the end of the story on its first page.",
    fix="Export the value as it stood at each event (an audit or event log), or exclude the field.",
    search=_current,
)
