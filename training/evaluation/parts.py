"""The measures of an outcome in parts of its rows: by calendar month, by value of an input, by class, by size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forewarn.sequence import Featurizer
from forewarn.targets import ClassificationTask, RegressionTask
from training.bootstrap import Floats, bands, estimates
from training.evaluation.curves import calibration_curve
from training.evaluation.outcomes import Outcome
from training.metrics import f1_scores

LEAST_ROWS, LEAST_CUSTOMERS = 100, 20  # of a part: below, an interval says nothing
MOST_VALUES = 20  # tokens of a field that is cut into slices; more are ids rather than groups
PREFIX_GROUPS = ((1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (17, 64), (65, 10**9))
_QUANTILES = 10  # groups of a regression's predictions


def whole(outcome: Outcome, resamples: int, seed: int) -> dict[str, Any]:
    """Counts and measures of all rows of an outcome."""
    return _part(outcome, np.arange(len(outcome.rows)), resamples, seed)


def by_month(outcome: Outcome, resamples: int, seed: int) -> list[dict[str, Any]] | None:
    """Measures per calendar month of the observation point (UTC); None where times mean nothing."""
    if not outcome.points.clock:
        return None
    months = outcome.points.time[outcome.rows].astype("datetime64[us]").astype("datetime64[M]")
    return [
        {"month": str(month)} | _part(outcome, np.flatnonzero(months == month), resamples, seed)
        for month in np.unique(months)
    ]


def slices(
    outcome: Outcome, featurizer: Featurizer, token_NC: NDArray[np.int32], resamples: int, seed: int
) -> tuple[list[dict[str, Any]], list[str]]:
    """Measures per value of every categorical input at the point's own event, and the fields with too many values.

    `token_NC` holds the tokens of all points. Values with too few rows or customers are joined per field.
    """
    result, left_out = [], []
    for name, groups in _groups(outcome, featurizer, token_NC):
        if groups is None:
            left_out.append(name)
            continue
        values, small = [], []
        for value, chosen in groups:
            enough = len(chosen) >= LEAST_ROWS and len(np.unique(outcome.clusters[chosen])) >= LEAST_CUSTOMERS
            if enough:
                values.append({"value": value} | _part(outcome, chosen, resamples, seed))
            else:
                small.append(len(chosen))
        if len(values) > 1:
            result.append({"field": name, "values": values, "too_small": {"values": len(small), "rows": sum(small)}})
    return result, left_out


def _groups(
    outcome: Outcome, featurizer: Featurizer, token_NC: NDArray[np.int32]
) -> Iterator[tuple[str, list[tuple[str, NDArray[np.int64]]] | None]]:
    prefix = outcome.points.prefix[outcome.rows]
    named = [(f"{low}" if low == high else f"{low} to {high}" if high < 10**9 else f"{low} or more", low, high)
             for low, high in PREFIX_GROUPS]  # fmt: skip
    grouped = [(name, np.flatnonzero((prefix >= low) & (prefix <= high))) for name, low, high in named]
    so_far = "events so far" if outcome.points.per is None else "events of the case so far"
    yield so_far, [(name, rows) for name, rows in grouped if len(rows)]
    for column, (name, vocabulary) in enumerate(featurizer.vocabularies.items()):
        token = token_NC[outcome.rows, column]
        found, count = np.unique(token, return_counts=True)
        if len(found) > MOST_VALUES:
            yield name, None
        elif len(found) > 1:
            ranked = found[np.argsort(-count, kind="stable")]
            names = vocabulary.decode(ranked.tolist())
            yield name, [(value, np.flatnonzero(token == t)) for value, t in zip(names, ranked, strict=True)]


def _part(outcome: Outcome, chosen: NDArray[np.int64], resamples: int, seed: int) -> dict[str, Any]:
    customers = outcome.clusters[chosen]
    counts = {
        "rows": len(chosen),
        "incidents": len(np.unique(outcome.incidents[chosen])),
        "customers": len(np.unique(customers)),
    }
    return counts | estimates(outcome.metric(chosen), customers, resamples, seed)


def by_class(outcome: Outcome, resamples: int, seed: int) -> dict[str, Any]:
    """Confusion counts (truth, guess), F1 per class with interval, and how far to trust the likeliest class."""
    assert isinstance(outcome.task, ClassificationTask) and outcome.task.classes is not None
    size = outcome.score.shape[1]
    guess = outcome.score.argmax(axis=1)
    pair = outcome.label * size + guess

    def f1(weight_RN: Floats) -> dict[str, Floats]:
        pairs = np.stack([np.bincount(pair, weight, minlength=size**2) for weight in weight_RN])
        return {"f1": f1_scores(pairs.reshape(-1, size, size).astype(np.float64))}

    confusion = np.bincount(pair, minlength=size**2).reshape(size, size)
    trust = outcome.score.max(axis=1), guess == outcome.label
    return {
        "classes": list(outcome.task.classes),
        "confusion": confusion.tolist(),
        **bands(f1, outcome.clusters, resamples, seed),
        "reliability": calibration_curve(*trust, outcome.clusters, resamples, seed),
    }


def by_quantile(outcome: Outcome, resamples: int, seed: int) -> list[dict[str, Any]]:
    """A regression's errors in tenths of its predictions, in the field's own unit."""
    assert isinstance(outcome.task, RegressionTask)
    predicted, true = (outcome.task.inverse(np.asarray(x, np.float64).ravel()) for x in (outcome.score, outcome.label))
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, _QUANTILES + 1)[1:-1]))
    group = np.searchsorted(edges, predicted, side="right")
    return [
        {
            "predicted": float(predicted[chosen].mean()),
            "true_quartiles": np.quantile(true[chosen], [0.25, 0.5, 0.75]).tolist(),
            **_part(outcome, chosen, resamples, seed),
        }
        for chosen in (np.flatnonzero(group == g) for g in np.unique(group))
    ]
