"""Trap 12, a breach of the service level as label and as input."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from forewarn.targets.lint.finding import Check, Hit, Severity
from forewarn.targets.lint.measures import auroc, crossfit
from forewarn.targets.lint.names import SERVICE_LEVEL, words
from forewarn.targets.lint.table import LEAST, LintTable, RowLabels
from forewarn.targets.tasks import HazardTask

_LEAST = 10  # histories with the value
_ALWAYS = 0.95  # share of them with the outcome, where fewer than half have it overall
_TELLS = 0.9  # AUROC of a field named after the service level
_DECIDED = 0.05  # share of positive rows that come after the evidence


def _breaches(table: LintTable) -> Iterator[Hit]:
    for labels in table.hazards():
        assert isinstance(labels.task, HazardTask)
        if not words(json.dumps(labels.task.when.source)) & SERVICE_LEVEL:
            continue
        rows = table.labelled(labels)
        for name, column in table.names():
            some = rows[column.known[rows]]
            if len(np.unique(table.history[some])) < _LEAST:
                continue
            value_N, code_N = labels.value[some], column.code[some]
            if words(name) & SERVICE_LEVEL:
                found = auroc(crossfit(code_N, value_N, table.fold[table.history[some]]), value_N > 0)
                if found >= _TELLS:
                    evidence = (
                        f"is about the service level, and so is the label: AUROC {found:.3f} for {labels.task.name}"
                    )
                    yield Hit(Severity.ERROR, name, evidence, {"task": labels.task.name, "auroc": round(found, 4)})
                continue
            base = float(labels.value[rows].mean())
            for code, value in enumerate(column.values):
                own = code_N == code
                histories = len(np.unique(table.history[some[own]]))
                if histories < _LEAST or not words(value) & SERVICE_LEVEL:
                    continue
                rate = float(value_N[own].mean())
                if rate >= _ALWAYS > base:
                    evidence = (
                        f"its value {value!r} is about the service level, and so is the label: {rate:.1%} of "
                        f"{int(own.sum()):,} such events in {histories:,} histories have {labels.task.name}, of all "
                        f"events {base:.1%}"
                    )
                    yield Hit(Severity.ERROR, name, evidence, {"value": value, "rate": round(rate, 4)})


def _decided(table: LintTable) -> Iterator[Hit]:
    for labels in table.hazards():
        if not labels.final:
            continue
        rows = _positive(table, labels)
        if len(np.unique(table.history[rows])) < LEAST:
            continue
        share = float((labels.ahead_events[rows] <= 0).mean())
        if share >= _DECIDED:
            evidence = (
                f"{share:.1%} of its {len(rows):,} positive observation points lie at or after the first evidence of "
                "the verdict: they ask for what is already written down"
            )
            yield Hit(Severity.WARNING, labels.task.name, evidence, {"rows": len(rows), "decided": round(share, 4)})


def _positive(table: LintTable, labels: RowLabels) -> np.ndarray:
    rows = table.labelled(labels)
    return rows[(labels.value[rows] > 0) & np.isfinite(labels.ahead_events[rows])]


BREACHES = Check(
    trap=12,
    name="breach as label and input",
    looks_at="inputs named after the service level, and values such as ticket.sla_breach, where the label is too",
    why="The breach is the label; the model learns to read it, not to foresee it.",
    fix="Exclude the field, or hide the events with exclude_events.",
    search=_breaches,
)
DECIDED = Check(
    trap=12,
    name="observation points after the verdict",
    looks_at="for final verdicts, positive rows at or after the first event on which the evidence holds",
    why="They are easy, lift every score, and no warning at that point helps anybody.",
    fix="Hide them with exclude_events, or predict the change itself: onset.at: first with changes_to.",
    search=_decided,
)
