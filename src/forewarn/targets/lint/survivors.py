"""Trap 14, deleted customers: who is still in the data depends on how it ended."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from forewarn.targets.lint.finding import Check, Hit, Severity
from forewarn.targets.lint.measures import chance
from forewarn.targets.lint.table import LEAST, LintTable

_PERIODS = 10  # of equally many histories, by start
_ONLY = 0.98  # share with the outcome in a period from which only those were kept
_CHANCE = -6.0  # log10 of the probability of that by luck


def _survivors(table: LintTable) -> Iterator[Hit]:
    erased = int(table.erased.sum())
    if erased:
        evidence = f"{erased:,} of {len(table):,} histories hold an erasure"
        yield Hit(Severity.NOTE, "type", evidence, {"histories": erased})
    if not table.clock:
        return
    for labels in table.hazards():
        value_H = table.history_labels(labels)
        known = np.flatnonzero(np.isfinite(value_H))
        if len(known) < _PERIODS * LEAST:
            continue
        known = known[np.argsort(table.start[known], kind="stable")]
        base = float(value_H[known].mean())
        for own in np.array_split(known, _PERIODS):
            outcomes = int(value_H[own].sum())
            if outcomes >= _ONLY * len(own) and chance(outcomes, len(own), base) <= _CHANCE:
                first, last = (np.datetime64(round(table.start[i]), "s").astype("datetime64[D]") for i in own[[0, -1]])
                evidence = (
                    f"{outcomes:,} of {len(own):,} histories that start from {first} to {last} have the outcome, "
                    f"of all histories {base:.1%}"
                )
                yield Hit(Severity.WARNING, labels.task.name, evidence, {"histories": len(own), "base": round(base, 4)})


SURVIVORS = Check(
    trap=14,
    name="only some survived",
    looks_at="periods in which nearly every history has the outcome, and erasures",
    why="Where quiet customers were deleted and others kept for the record, being in the data is the label.",
    fix="Start the data after the deletions. End an erased history at its erasure: what follows is unknown, not empty.",
    search=_survivors,
)
