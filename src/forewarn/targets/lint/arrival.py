"""Traps 6 and 13, when events became visible: late texts, edited rows, bulk imports, clocks that disagree."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from forewarn.targets.lint.finding import Check, Hit, Severity
from forewarn.targets.lint.names import SPOKEN, words
from forewarn.targets.lint.table import LEAST, LintTable

_HOUR = 3_600.0
_AT_ONCE = 0.99  # share of spoken texts that are visible in the second they were spoken
_EDITED_S, _EDITED_SHARE = 60.0, 0.01
_IMPORT_HISTORIES, _IMPORT_SHARE = 20, 0.01
_EARLY_SHARE = 0.005
_SHOWN = 3


def _late_text(table: LintTable) -> Iterator[Hit]:
    if not table.clock:
        return
    lag_N = table.ingested - table.occurred
    for name, column in table.columns.items():
        if column.number is not None or name == "text":
            continue
        rows = np.flatnonzero(column.known if words(name) & SPOKEN else column.says(SPOKEN) & table.texts)
        if len(rows) >= LEAST and float((lag_N[rows] < 1).mean()) >= _AT_ONCE:
            evidence = (
                f"{len(rows):,} transcripts or summaries are visible in the very second in which the event occurred"
            )
            yield Hit(Severity.WARNING, name, evidence, {"events": len(rows)})


def _edited(table: LintTable) -> Iterator[Hit]:
    if not table.clock:
        return
    for name, edited_N in table.edited.items():
        rows = np.flatnonzero(np.isfinite(edited_N))
        later = edited_N[rows] - table.ingested[rows]
        share = float((later > _EDITED_S).mean())
        if len(rows) >= LEAST and share >= _EDITED_SHARE:
            hours = float(np.median(later[later > _EDITED_S])) / _HOUR
            evidence = (
                f"says that {share:.1%} of {len(rows):,} events were changed after they became visible, "
                f"by {hours:,.1f} h at the median"
            )
            yield Hit(Severity.WARNING, name, evidence, {"events": len(rows), "edited": round(share, 4)})


def _imports(table: LintTable) -> Iterator[Hit]:
    if not table.clock:
        return
    moments, of, counts = np.unique(table.ingested, return_inverse=True, return_counts=True)
    lag_N = table.ingested - table.occurred
    order = np.argsort(of, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)])
    found = []
    for i in np.flatnonzero(counts >= _IMPORT_HISTORIES).tolist():
        rows = order[starts[i] : starts[i + 1]]
        spread = float(np.ptp(table.occurred[rows]))
        histories = len(np.unique(table.history[rows]))
        if histories >= _IMPORT_HISTORIES and spread > _HOUR and float(np.median(lag_N[rows])) > _HOUR:
            found.append((int(counts[i]), histories, float(moments[i])))
    events = sum(count for count, *_ in found)
    if events >= _IMPORT_SHARE * len(lag_N):
        found.sort(reverse=True)
        listed = "; ".join(
            f"{count:,} events of {histories:,} histories at {_instant(moment)}"
            for count, histories, moment in found[:_SHOWN]
        )
        evidence = (
            f"{events:,} events ({events / len(lag_N):.1%}) of different times became visible in {len(found)} "
            f"single moments ({listed})"
        )
        yield Hit(Severity.WARNING, "ingested_at", evidence, {"events": events, "moments": len(found)})


def _early(table: LintTable) -> Iterator[Hit]:
    if not table.clock:
        return
    early_N = table.occurred - table.ingested > _HOUR
    share = float(early_N.mean())
    if share >= _EARLY_SHARE:
        hours = float(np.median((table.occurred - table.ingested)[early_N])) / _HOUR
        evidence = f"{share:.1%} of the events are visible before they occurred, by {hours:,.1f} h at the median"
        yield Hit(Severity.WARNING, "ingested_at", evidence, {"early": round(share, 4), "hours": round(hours, 2)})


def _instant(seconds: float) -> str:
    return f"{np.datetime64(round(seconds), 's')}Z"


LATE_TEXT = Check(
    trap=6,
    name="transcripts without a time of arrival",
    looks_at="transcripts and summaries whose ingested_at is their occurred_at",
    why="A transcript is made after the call; read at the call's time it knows how the call ended.",
    fix="Fill ingested_at with the moment the text was ready.",
    search=_late_text,
)
EDITED_ROWS = Check(
    trap=6,
    name="rows edited after they became visible",
    looks_at="attributes named like an edit time that lie after the event's ingested_at",
    why="The row, its text among it, is the edited one: online the model will have to score the first version.",
    fix="Export the first version, or give the edit an event of its own with its own ingested_at.",
    search=_edited,
)
IMPORTS = Check(
    trap=13,
    name="bulk import",
    looks_at="single moments of ingested_at that events of many histories and of different times share",
    why="Inside an import nothing was visible before anything else: prefixes, gaps and onsets there are made up.",
    fix="Give the true time of arrival, or leave out what was seen before the import (start the data after it).",
    search=_imports,
)
EARLY = Check(
    trap=13,
    name="visible before it happened",
    looks_at="events whose ingested_at lies more than an hour before their occurred_at",
    why="Two clocks, often two time zones, disagree; the model then sees events before anybody could.",
    fix="Bring both columns to UTC. For appointments, let occurred_at be the moment of booking.",
    search=_early,
)
