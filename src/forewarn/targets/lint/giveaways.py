"""Traps 1 and 11, single values that come with the outcome: written seconds before it, or only once it is decided."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from forewarn.targets.lint.finding import Check, Hit, Severity
from forewarn.targets.lint.measures import chance
from forewarn.targets.lint.table import Column, LintTable, RowLabels

_LEAST = 10  # histories with the value
_ALWAYS = 0.95  # share of them that have the outcome
_CLOSE_S = 60.0  # seconds before the evidence that still belong to writing it down
_CLOSE_EVENTS = 1  # the same where horizons count events
_CHANCE = -6.0  # log10 of the probability, times the number of values, of so many outcomes by luck
_COMMON = 0.5  # share of all outcomes that a value must come with to reveal the label, not only some of it
_SHOWN = 5


def _before(table: LintTable) -> Iterator[Hit]:
    yield from _giveaways(table, after=False)


def _after(table: LintTable) -> Iterator[Hit]:
    yield from _giveaways(table, after=True)


def _giveaways(table: LintTable, *, after: bool) -> Iterator[Hit]:
    for labels in table.hazards():
        if np.isnan(labels.ahead_s).all():
            continue
        for name, column in table.columns.items():
            found = _values(table, labels, column, after=after)
            if not found:
                continue
            share = max(share for *_, share in found)
            listed = "; ".join(
                f"{value!r}: {outcomes} of {histories} histories" for value, histories, outcomes, _ in found[:_SHOWN]
            )
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            where = "first seen when the evidence is there" if after else f"first seen {_within(labels)} before it"
            yield Hit(
                Severity.ERROR if share >= _COMMON else Severity.WARNING,
                name,
                f"{len(found)} of its values come with {labels.task.name} and are {where} ({listed}{more}); the "
                f"commonest comes with {share:.1%} of all outcomes",
                {"task": labels.task.name, "values": [value for value, *_ in found], "share": round(share, 4)},
            )


def _within(labels: RowLabels) -> str:
    return f"at most {_CLOSE_S:.0f} s" if _clocked(labels) else "one event"


def _values(table: LintTable, labels: RowLabels, column: Column, *, after: bool) -> list[tuple[str, int, int, float]]:
    """(value, histories, outcomes among them, share of all outcomes) of every value that gives the label away."""
    rows = table.labelled(labels)
    first = np.unique(table.history[rows], return_index=True)[1]
    # Of a final verdict every row says the same; of an onset a history counts when any of its rows has one.
    outcome_O = np.maximum.reduceat(labels.value[rows], first) > 0 if len(first) else np.zeros(0, bool)
    outcomes = int(outcome_O.sum())
    rows = rows[column.known[rows]]
    if not outcomes or not len(rows):
        return []
    key_N = column.code[rows] * len(table) + table.history[rows]
    _, first = np.unique(key_N, return_index=True)
    rows = rows[first]
    code_M, positive_M = column.code[rows], labels.value[rows] > 0
    ahead_M = (labels.ahead_s if _clocked(labels) else labels.ahead_events)[rows]
    close = _CLOSE_S if _clocked(labels) else _CLOSE_EVENTS
    arrived_M = labels.ahead_events[rows] <= 0
    timely_M = positive_M & (arrived_M if after else ~arrived_M & (ahead_M <= close))
    size = int(code_M.max()) + 1
    histories, hits, timely = (np.bincount(code_M, weights, size) for weights in (None, positive_M, timely_M))
    rate = float(outcome_O.mean())
    values = max(int((histories > 0).sum()), 1)
    found = []
    for code in np.flatnonzero((histories >= _LEAST) & (timely >= _ALWAYS * histories)).tolist():
        tries, positives = int(histories[code]), int(hits[code])
        if chance(positives, tries, rate) + np.log10(values) <= _CHANCE:
            name = _shown(column, code)
            found.append((name, tries, positives, positives / outcomes))
    return sorted(found, key=lambda item: -item[1])


def _clocked(labels: RowLabels) -> bool:
    return labels.final or labels.task.horizons.clock  # type: ignore[union-attr]


def _shown(column: Column, code: int) -> str:
    value = column.values[code] if column.values else str(code)
    return value if len(value) <= 60 else value[:59] + "…"


BEFORE = Check(
    trap=1,
    name="evidence written down just before the onset",
    looks_at="types, categories and texts that are followed by the evidence within a minute (or one event)",
    why="The onset has already been decided when these are written: predicting it then is worth nothing to anybody.",
    fix="Add them to onset.when so that the onset is dated by its earliest evidence, or set a lead.",
    search=_before,
)
AFTER = Check(
    trap=11,
    name="values seen only once the label is decided",
    looks_at="types, categories and texts that appear only at or after the evidence, in histories with the outcome",
    why="An agent or queue that handles escalations only names the outcome; as an input it is the label.",
    fix="End observation at the evidence (exclude_events, or onset.at: first with a cooldown), or exclude the field.",
    search=_after,
)
