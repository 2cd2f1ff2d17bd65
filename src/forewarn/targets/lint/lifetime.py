"""Trap 3, whole-life aggregates: fields that only the end of a history can fill, present from its beginning."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from forewarn.targets.lint.finding import Check, Hit, Severity
from forewarn.targets.lint.measures import auroc, crossfit, spearman
from forewarn.targets.lint.names import COUNTER, LIFETIME, PLANNED, words
from forewarn.targets.lint.state import CONSTANT
from forewarn.targets.lint.table import LEAST, Column, LintTable

_DETERMINED = 0.9  # Spearman's rho with length or duration of a history
_TELLS = 0.9  # AUROC for the outcome of a history
_EPOCH = (3e8, 4e9)  # seconds since 1970 of the years 1979 to 2096
_LATER_S = 60.0  # clocks of two systems may differ by as much
_LATER_SHARE = 0.05


def _aggregates(table: LintTable) -> Iterator[Hit]:
    for name, column in table.names():
        if name == "type" or words(name) & COUNTER:
            continue  # counters are trap 2
        owners, rows, share = table.constants(column)
        if len(owners) < LEAST or share < CONSTANT or len(np.unique(column.code[rows])) < 2:
            continue
        told = f"is the same on all events of {share:.1%} of {len(owners):,} histories"
        hit = _number(table, column, owners, rows) if column.number is not None else _category(table, column, owners)
        named = bool(words(name) & LIFETIME)
        if hit is not None and (hit[0] or named):
            determined, evidence, figures = hit
            severity = Severity.ERROR if determined else Severity.WARNING
            yield Hit(severity, name, f"{told}, and {evidence}", figures)


def _number(
    table: LintTable, column: Column, owners: np.ndarray, rows: np.ndarray
) -> tuple[bool, str, dict[str, float]] | None:
    assert column.number is not None
    value_O = column.number[rows]
    since_O = value_O - table.start[owners] if _times(value_O) else value_O
    length = spearman(value_O, table.length[owners].astype(np.float64))
    duration = spearman(since_O, table.end[owners] - table.start[owners])
    best = max(abs(length), abs(duration))
    evidence = f"follows how long they get (rho {length:.2f} with their events, {duration:.2f} with their duration)"
    return best >= _DETERMINED, evidence, {"rho_length": round(length, 4), "rho_duration": round(duration, 4)}


def _category(table: LintTable, column: Column, owners: np.ndarray) -> tuple[bool, str, dict[str, float]] | None:
    """Only a name makes a constant category suspicious; whether it tells an outcome decides how much."""
    best, task = 0.0, ""
    learning = np.isin(table.split, ("train", "valid"))
    for labels in table.hazards():
        value_H = table.history_labels(labels)
        carriers, first = table.firsts(column)
        use = np.isfinite(value_H[carriers]) & learning[carriers]
        kept, code = carriers[use], column.code[first[use]]
        if len(kept) >= LEAST:
            found = auroc(crossfit(code, value_H[kept], table.fold[kept]), value_H[kept] > 0)
            if found > best:
                best, task = found, labels.task.name
    if not best:
        return False, "its name says that the end of the history fills it", {"histories": len(owners)}
    evidence = f"its name says that the end of the history fills it (AUROC {best:.2f} for {task})"
    return False, evidence, {"auroc": round(best, 4)}


def _later(table: LintTable) -> Iterator[Hit]:
    if not table.clock:
        return
    for name, column in table.names():
        if column.number is None or words(name) & PLANNED:
            continue
        rows = np.flatnonzero(column.known)
        if len(np.unique(table.history[rows])) < LEAST or not _times(column.number[rows]):
            continue
        share = float((column.number[rows] > table.ingested[rows] + _LATER_S).mean())
        if share >= _LATER_SHARE:
            evidence = f"holds a time after its own event became visible on {share:.1%} of {len(rows):,} events"
            yield Hit(Severity.ERROR, name, evidence, {"events": len(rows), "later": round(share, 4)})


def _times(value_N: np.ndarray) -> bool:
    """Whether nearly all numbers read as seconds since 1970."""
    return len(value_N) > 0 and float(((value_N > _EPOCH[0]) & (value_N < _EPOCH[1])).mean()) >= 0.95


AGGREGATES = Check(
    trap=3,
    name="whole-life aggregate",
    looks_at="fields that never change in a history and follow its final length or duration, or are named for its end",
    why="Only the end of a history can fill such a field; at the observation point nobody knows it.",
    fix="Put it under exclude_inputs of the target (or data.inputs.exclude).",
    search=_aggregates,
)
LATER = Check(
    trap=3,
    name="time from the future",
    looks_at="numeric inputs that read as times and lie after the moment their own event became visible",
    why="The row was written, or rewritten, after that time: it knows what happened until then.",
    fix="Exclude the field, and ask what else on the row was rewritten with it. A planned time is honest: name it due.",
    search=_later,
)
