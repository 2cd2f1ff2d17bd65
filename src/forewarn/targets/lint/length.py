"""Trap 9, the length of a sequence as a proxy for how it ends."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from forewarn.targets.lint.finding import Check, Hit, Severity
from forewarn.targets.lint.measures import auroc
from forewarn.targets.lint.table import LEAST, LintTable

_WARN, _NOTE = 0.9, 0.8  # AUROC of the final length for the outcome of a history
_OWN_EVENT = 0.05  # share of labelled rows that are the event their verdict is read from


def _proxy(table: LintTable) -> Iterator[Hit]:
    if not table.target.complete:
        return  # histories that go on have no final length
    for labels in table.hazards():
        value_H = table.history_labels(labels)
        known = np.isfinite(value_H) & np.isin(table.split, ("train", "valid"))
        positive = value_H[known] > 0
        if min(int(positive.sum()), int((~positive).sum())) < LEAST:
            continue
        found = auroc(table.length[known].astype(np.float64), positive)
        strength = max(found, 1 - found)
        if strength >= _NOTE:
            evidence = (
                f"the final number of events alone has AUROC {found:.3f} for {labels.task.name} over {known.sum():,} "
                f"histories (median {np.median(table.length[known][positive]):.0f} events with the outcome, "
                f"{np.median(table.length[known][~positive]):.0f} without)"
            )
            severity = Severity.WARNING if strength >= _WARN else Severity.NOTE
            yield Hit(severity, labels.task.name, evidence, {"auroc": round(found, 4)})


def _own_event(table: LintTable) -> Iterator[Hit]:
    for labels in table.hazards():
        if not labels.final or table.target.exclude_events is not None:
            continue
        rows = table.labelled(labels)
        own = rows[table.bounds[1:][table.history[rows]] - 1 == rows]
        if len(own) >= max(_OWN_EVENT * len(rows), LEAST):
            evidence = (
                f"{len(own):,} of {len(rows):,} labelled rows ({len(own) / len(rows):.1%}) are the very event that the "
                "verdict is read from"
            )
            yield Hit(Severity.NOTE, labels.task.name, evidence, {"rows": len(own)})


PROXY = Check(
    trap=9,
    name="length tells the outcome",
    looks_at="how well the final number of events of a history separates outcomes",
    why="The model never sees the final length, but rows chosen by it (last event, percent of it) hand it over.",
    fix="Measure at fixed event counts or fixed times, and read the results by prefix beside the pooled ones.",
    search=_proxy,
)
OWN_EVENT = Check(
    trap=9,
    name="verdict read from the row itself",
    looks_at="for final verdicts, labelled rows that are the history's last event",
    why="At the closing event everything is known; such rows flatter every model alike.",
    fix="Hide closing events with exclude_events, as conf/targets/sla_miss.yaml does.",
    search=_own_event,
)
