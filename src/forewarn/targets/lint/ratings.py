"""Trap 4, ratings and surveys that come after the onset and are read before it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from forewarn.targets.lint.finding import Check, Hit, Severity
from forewarn.targets.lint.names import RATING, words
from forewarn.targets.lint.state import CONSTANT
from forewarn.targets.lint.table import LEAST, LintTable

_AFTER = 0.5  # share of ratings, in histories with the outcome, that were given when it was already decided


def _backfilled(table: LintTable) -> Iterator[Hit]:
    for name, column in table.names():
        if name == "type" or not words(name) & RATING:
            continue
        owners, rows, share = table.constants(column)
        early = float((rows == table.bounds[owners]).mean()) if len(owners) else 0.0
        if len(owners) >= LEAST and share >= CONSTANT and early >= CONSTANT:
            evidence = (
                f"is on the first event and the same on all events of {share:.1%} of {len(owners):,} histories, "
                "though a rating is given once"
            )
            yield Hit(Severity.ERROR, name, evidence, {"histories": len(owners), "constant": round(share, 4)})


def _afterwards(table: LintTable) -> Iterator[Hit]:
    rated_N = table.columns["type"].says(RATING)
    for name, column in table.names():
        if words(name) & RATING:
            rated_N = rated_N | column.known
    for labels in table.hazards():
        rows = table.labelled(labels)
        rows = rows[rated_N[rows] & (labels.value[rows] > 0) & np.isfinite(labels.ahead_events[rows])]
        if not labels.final or len(np.unique(table.history[rows])) < LEAST:
            continue
        share = float((labels.ahead_events[rows] <= 0).mean())
        if share >= _AFTER:
            evidence = (
                f"{share:.1%} of {len(rows):,} ratings in histories with the outcome were given at or after its "
                "evidence, and the model sees them before its label"
            )
            yield Hit(Severity.WARNING, labels.task.name, evidence, {"ratings": len(rows), "after": round(share, 4)})


BACKFILLED = Check(
    trap=4,
    name="rating written back",
    looks_at="inputs named like a rating that stand on every event of a history from its first",
    why="The customer had not answered yet: the rating sums up how it ended.",
    fix="Keep the rating on the event of the answer alone, or exclude the field.",
    search=_backfilled,
)
AFTERWARDS = Check(
    trap=4,
    name="rating after the outcome",
    looks_at="for final verdicts, rating events that lie after the first evidence and are observation points",
    why="An angry answer to the survey after the escalation does not foresee it.",
    fix="Hide rating events with exclude_events, or exclude their fields.",
    search=_afterwards,
)
