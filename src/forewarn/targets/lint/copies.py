"""Trap 1, the label under another name: an input that repeats the evidence, or tells the label all by itself."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from forewarn.targets.lint.finding import Check, Hit, Severity
from forewarn.targets.lint.measures import Codes, auroc, crossfit, explained_classes, explained_variance
from forewarn.targets.lint.table import LEAST, Column, LintTable, RowLabels
from forewarn.targets.tasks import RegressionTask

_COPIES = 0.98  # share of the other values of an evidence field that one input tells: a copy, with some typing errors
_TELLS = 0.98  # AUROC of one field alone; the best honest ones of the public logs stay below .90
_EXPLAINS = 0.95  # share of the errors of the commonest class, or of the variance, that one field alone removes
_LEAST_EACH = 10  # histories on each side of a binary label, or with another than the commonest value


def _copied(table: LintTable) -> Iterator[Hit]:
    # Hidden events count: there the verdict is written, and there its copy shows.
    fold_M = table.fold[table.whole_history]
    for evidence, label in table.evidence.items():
        for name, column in table.whole_columns.items():
            # What happened may well settle the evidence: a type is honest at its event.
            if name in ("type", "text"):
                continue
            rows = np.flatnonzero(label.known & column.known)
            if len(np.unique(table.whole_history[rows])) < LEAST:
                continue
            rare = rows[label.code[rows] != np.bincount(label.code[rows]).argmax()]
            if len(np.unique(table.whole_history[rare])) < _LEAST_EACH:
                continue
            told = explained_classes(column.code[rows], label.code[rows], fold_M[rows])
            if told >= _COPIES:
                yield Hit(
                    Severity.ERROR,
                    name,
                    f"tells the value of {evidence}, which the target hides, on {len(rows):,} events: knowing it "
                    f"removes {told:.1%} of the errors of always saying the commonest value",
                    {"evidence": evidence, "events": len(rows), "errors_removed": round(told, 4)},
                )


def _telling(table: LintTable) -> Iterator[Hit]:
    for labels in table.labels.values():
        rows = table.labelled(labels)
        for name, column in table.names():
            # What follows an event may well hang on the event's own type: a process is not a leak.
            if name == "type" and not labels.final:
                continue
            for some, where in (
                (rows, "labelled events"),
                (rows[column.known[rows]], "labelled events that carry it"),
            ):
                if hit := _tells(table, labels, name, column, some, where):
                    yield hit
                    break


def _tells(table: LintTable, labels: RowLabels, name: str, column: Column, rows: Codes, where: str) -> Hit | None:
    fold_N = table.fold[table.history[rows]]
    value_N, code_N = labels.value[rows], column.code[rows]
    owners = table.history[rows]
    if len(np.unique(owners)) < LEAST or fold_N.all() or not fold_N.any():
        return None
    if labels.binary:
        positive_N = value_N > 0
        if min(len(np.unique(owners[positive_N])), len(np.unique(owners[~positive_N]))) < _LEAST_EACH:
            return None
        found, limit = auroc(crossfit(code_N, value_N, fold_N), positive_N), _TELLS
        measure, said = "auroc", "has AUROC"
    elif isinstance(labels.task, RegressionTask):
        found, limit = explained_variance(code_N, value_N, fold_N), _EXPLAINS
        measure, said = "r2", "has R2"
    else:
        found, limit = explained_classes(code_N, value_N.astype(np.int64), fold_N), _EXPLAINS
        measure, said = "errors_removed", "removes a share of the errors of"
    if not found >= limit:
        return None
    return Hit(
        Severity.ERROR,
        name,
        f"alone {said} {found:.3f} for {labels.task.name} on {len(rows):,} {where} of {len(np.unique(owners)):,} "
        "histories, fitted on one half of them and asked on the other",
        {"task": labels.task.name, "events": len(rows), measure: round(found, 4)},
    )


COPIED = Check(
    trap=1,
    name="copy of the evidence",
    looks_at="whether an input tells the value of a hidden evidence field on the same event, across histories",
    why="The target hides its evidence from the model; a copy under another name gives it back.",
    fix="Put the field under exclude_inputs of the target, or under keep_inputs if it is honest at its event.",
    search=_copied,
)
TELLING = Check(
    trap=1,
    name="one field tells the label",
    looks_at="how well each single input, at single events, tells the label of histories it was not fitted on",
    why="No honest single field is that good: it is written when, or after, the outcome is known.",
    fix="Find out who writes the field and when. If not before the outcome, name it in exclude_inputs of the target.",
    search=_telling,
)
