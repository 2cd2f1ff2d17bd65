"""Trap 7, merges that rewrite history: whose events these are was decided later."""

from __future__ import annotations

from collections.abc import Iterator

from forewarn.targets.lint.finding import Check, Hit, Severity
from forewarn.targets.lint.table import LEAST, LintTable

_SHARE = 0.01  # of histories, events or cases


def _merges(table: LintTable) -> Iterator[Hit]:
    histories = len(table)
    mixed = int((table.customers > 1).sum())
    if mixed >= max(_SHARE * histories, LEAST):
        evidence = f"{mixed:,} of {histories:,} histories hold events of more than one customer"
        yield Hit(Severity.WARNING, "customer_id", evidence, {"histories": mixed})
    events = len(table.view)
    if table.repeated_events >= max(_SHARE * events, LEAST):
        evidence = f"{table.repeated_events:,} of {events:,} events stand in the history of somebody else too"
        yield Hit(Severity.WARNING, "event_id", evidence, {"events": table.repeated_events})
    if table.shared_cases >= max(_SHARE * table.cases, LEAST):
        evidence = f"{table.shared_cases:,} of {table.cases:,} cases have events of several customers"
        yield Hit(Severity.WARNING, "case_id", evidence, {"cases": table.shared_cases})
    merged = int(table.merged.sum())
    if merged:
        evidence = f"{merged:,} of {histories:,} histories hold a merge event"
        yield Hit(Severity.NOTE, "type", evidence, {"histories": merged})


MERGES = Check(
    trap=7,
    name="merged histories",
    looks_at="histories of several customers, events and cases that several customers claim, and merge events",
    why="Before a merge nobody could see both parts as one; a history put together later knows more than anyone did.",
    fix="Keep the id as it was at the event, or let the moved events have the merge's time as ingested_at.",
    search=_merges,
)
