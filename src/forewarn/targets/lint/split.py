"""Traps 8 and 10, and the base rate: what the split lets training know of the test."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np

from forewarn.targets.horizon import FOREVER, SECOND
from forewarn.targets.lint.finding import Check, Hit, Severity
from forewarn.targets.lint.table import LEAST, LintTable, RowLabels
from forewarn.targets.tasks import ClassificationTask, HazardTask

_Z, _SHIFT = 4.0, 0.05  # difference of base rates in standard errors, and in absolute terms
_NUMBER_SHIFT = 0.25  # difference of means of a number in standard deviations
_SHOWN = 3
_SHARED = 0.05  # share of test histories whose customer training knows


def _future(table: LintTable) -> Iterator[Hit]:
    cut, until = table.assignment.cut, table.assignment.learn_until
    if cut is None or until is None:
        return
    late = table.learns & (table.ingested >= cut.timestamp())
    if until > cut or late.any():
        evidence = (
            f"training is observed until {_day(until.timestamp())} and sees {int(late.sum()):,} events at or after the "
            f"cut at {_day(cut.timestamp())}"
        )
        yield Hit(Severity.ERROR, "protocol", evidence, {"events": int(late.sum())})
    for labels in table.hazards():
        assert isinstance(labels.task, HazardTask)
        end = labels.task.horizons.edges[-1]
        if not labels.task.horizons.clock or end >= FOREVER:
            continue
        rows = table.labelled(labels)
        reach = table.ingested[rows] + float(end) / SECOND
        over = int((reach > cut.timestamp() + 1e-3).sum())
        if over:
            evidence = f"{over:,} training labels look beyond the cut at {_day(cut.timestamp())}"
            yield Hit(Severity.ERROR, labels.task.name, evidence, {"rows": over})


def _overlap(table: LintTable) -> Iterator[Hit]:
    test = table.split == "test"
    learnt = np.isin(table.split, ("train", "valid"))
    if not test.any() or not learnt.any():
        return
    split = table.protocol.split
    if table.clock and table.assignment.cut is None:
        first = float(table.start[test].min())
        last_H = np.array([table.ingested[end - 1] for end in table.bounds[1:].tolist()])
        after = float((last_H[learnt] >= first).mean())
        if after > 0:
            evidence = f"{after:.1%} of the training histories go on when the test has begun ({_day(first)})"
            severity = Severity.WARNING if split == "random" else Severity.NOTE
            yield Hit(severity, f"protocol {table.protocol.name}", evidence, {"training_after_start": round(after, 4)})
    customers = {table.customer[i] for i in np.flatnonzero(learnt).tolist()}
    shared = np.array([table.customer[i] in customers for i in np.flatnonzero(test).tolist()])
    if float(shared.mean()) >= _SHARED:
        unseen = len(shared) - int(shared.sum())
        evidence = (
            f"{shared.mean():.1%} of {len(shared):,} test histories are of customers who train too; "
            f"{unseen:,} are of customers never seen"
        )
        figures = {"shared": round(float(shared.mean()), 4), "unseen": unseen}
        yield Hit(Severity.NOTE, f"protocol {table.protocol.name}", evidence, figures)


def _base_rate(table: LintTable) -> Iterator[Hit]:
    dropped = table.assignment.counts.get("dropped_straddling", 0)
    cause = f"; {dropped:,} histories that straddle the cut were dropped" if dropped else ""
    for labels in table.labels.values():
        shifts = [
            (difference, what, ours, theirs, sizes)
            for what, indicator_H, least in _indicators(labels, table.history_labels(labels))
            for difference, ours, theirs, sizes in _shift(table, indicator_H, least)
        ]
        if not shifts:
            continue
        shifts.sort(key=lambda shift: -abs(shift[0]))
        listed = "; ".join(f"{what} {ours:.3f} and {theirs:.3f}" for _, what, ours, theirs, _ in shifts[:_SHOWN])
        _, _, ours, theirs, (learnt, tested) = shifts[0]
        evidence = f"at the first labelled event of {learnt:,} training and {tested:,} test histories, {listed}{cause}"
        figures = {"train": round(ours, 4), "test": round(theirs, 4), "dropped": dropped}
        yield Hit(Severity.WARNING, labels.task.name, evidence, figures)


def _shift(
    table: LintTable, indicator_H: np.ndarray, least: float
) -> Iterator[tuple[float, float, float, tuple[int, int]]]:
    """The difference of means between test and training, where it is beyond noise, both means, and both sizes."""
    known = np.isfinite(indicator_H)
    ours, theirs = (indicator_H[known & (table.split == split)] for split in ("train", "test"))
    if min(len(ours), len(theirs)) < LEAST:
        return
    error = float(np.sqrt(ours.var() / len(ours) + theirs.var() / len(theirs)))
    difference = float(theirs.mean() - ours.mean())
    if abs(difference) >= max(_Z * error, least):
        yield difference, float(ours.mean()), float(theirs.mean()), (len(ours), len(theirs))


def _indicators(labels: RowLabels, value_H: np.ndarray) -> Iterator[tuple[str, np.ndarray, float]]:
    """What to compare between splits, in words, per history, and the least difference worth a word."""
    if labels.binary:
        yield "the outcome has rates of", value_H, _SHIFT
    elif isinstance(labels.task, ClassificationTask):
        for code, name in enumerate(labels.task.classes or ()):
            yield f"class {name!r} has rates of", np.where(np.isfinite(value_H), value_H == code, np.nan), _SHIFT
    else:
        known = value_H[np.isfinite(value_H)]
        yield (
            "the number has means (transformed) of",
            value_H,
            _NUMBER_SHIFT * float(known.std()) if len(known) else 0.0,
        )


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M}"


FUTURE = Check(
    trap=8,
    name="training beyond the cut",
    looks_at="the last events and labels of training and validation, which fit vocabularies, scalers and calibration",
    why="What was fitted after the cut has seen the test.",
    fix="Observe training until cut - purge, as protocol=temporal does.",
    search=_future,
)
OVERLAP = Check(
    trap=10,
    name="training and test share time or customers",
    looks_at="training histories that go on during the test, and customers on both sides",
    why="What is particular to a period or a customer helps on both sides; later periods and new customers lack it.",
    fix="Quote a temporal split for the future, and beside it the slice of unseen customers.",
    search=_overlap,
)
BASE_RATE = Check(
    trap=10,
    name="base rate shifts between training and test",
    looks_at="label rates per history in training and test, in standard errors",
    why="Calibration learnt on one rate is wrong on another. Dropping or masking what straddles the cut "
    "keeps the quickly closed late histories, so the split itself can make part of the shift.",
    fix="Prefer straddlers: censor and finite horizons; read calibration by month, and compare with a rolling origin.",
    search=_base_rate,
)
