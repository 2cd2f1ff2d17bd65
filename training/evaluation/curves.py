"""Curves of a binary outcome, with a band each: reliability, precision against recall, recall against workload.

Shapes: n rows, R row weightings (the data itself first, then the bootstrap), G points of a curve.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from training.bootstrap import ECE_BINS, Floats, bands, best_positives
from training.evaluation.outcomes import Outcome

HISTOGRAM_BINS = 20
RECALLS = np.linspace(0.02, 1.0, 50)
SHARES = np.r_[np.linspace(0.0, 0.2, 21), np.linspace(0.22, 1.0, 40)]  # of the rows; finer where teams work


def reliability(outcome: Outcome, resamples: int, seed: int) -> dict[str, Any]:
    """Mean score and observed share with interval, in the equal-mass bins of the ECE; counts of scores per outcome."""
    return calibration_curve(outcome.score, outcome.label, outcome.clusters, resamples, seed)


def calibration_curve(score_N: Any, label_N: Any, clusters: Any, resamples: int, seed: int) -> dict[str, Any]:
    """`reliability` of any probabilities [n] of binary labels [n]."""
    score_N, label_N = np.asarray(score_N, np.float64), np.asarray(label_N, np.float64)
    edges = np.unique(np.quantile(score_N, np.linspace(0, 1, ECE_BINS + 1)[1:-1]))
    bin_N = np.searchsorted(edges, score_N, side="right")
    _, bin_N = np.unique(bin_N, return_inverse=True)
    member_NG = np.eye(bin_N.max() + 1)[bin_N]

    def observed(weight_RN: Floats) -> dict[str, Floats]:
        rows_RG = weight_RN @ member_NG
        hits_RG = (weight_RN * label_N) @ member_NG
        return {"observed": np.divide(hits_RG, rows_RG, out=np.full_like(rows_RG, np.nan), where=rows_RG > 0)}

    size_G = member_NG.sum(axis=0)
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    return {
        "rows": size_G.astype(int).tolist(),
        "score": (score_N @ member_NG / size_G).tolist(),
        **bands(observed, clusters, resamples, seed),
        "histogram": {
            "edges": edges.tolist(),
            "positive": np.histogram(score_N[label_N > 0], edges)[0].tolist(),
            "negative": np.histogram(score_N[label_N <= 0], edges)[0].tolist(),
        },
    }


def ranking_curves(outcome: Outcome, resamples: int, seed: int) -> dict[str, Any]:
    """Precision at given recalls; recall of points and of incidents when the riskiest share of the points is alerted.

    An incident counts as found when one of its positive points is alerted. Points of equal score are alerted together.
    """
    order = np.argsort(-outcome.score, kind="stable")
    ranked, label_N = outcome.score[order], outcome.label[order].astype(np.float64)
    last_G = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True])  # last row of each group of equal scores
    # A positive incident is found with the first of its positive rows.
    first, _ = best_positives(label_N, outcome.incidents[order])
    finds_N = np.zeros(len(order))
    finds_N[first] = 1.0

    def curves(weight_RN: Floats) -> dict[str, Floats]:
        weight_RN = weight_RN[:, order]
        seen_RG = np.cumsum(weight_RN, axis=1)[:, last_G]
        hits_RG = np.cumsum(weight_RN * label_N, axis=1)[:, last_G]
        finds_RG = np.cumsum(weight_RN * finds_N, axis=1)[:, last_G]
        with np.errstate(divide="ignore", invalid="ignore"):
            precision_RG = hits_RG / seen_RG
            recall_RG, incidents_RG = hits_RG / hits_RG[:, -1:], finds_RG / finds_RG[:, -1:]
            share_RG = seen_RG / seen_RG[:, -1:]
        return {
            "precision": _each(recall_RG, precision_RG, lambda recall, _: np.searchsorted(recall, RECALLS - 1e-9)),
            "recall": _each(share_RG, recall_RG, _within),
            "recall_incidents": _each(share_RG, incidents_RG, _within),
        }

    found = bands(curves, outcome.clusters, resamples, seed)
    return {
        "precision_recall": {"recall": RECALLS.tolist(), "precision": found["precision"]},
        "workload": {"share": SHARES.tolist(), "points": found["recall"], "incidents": found["recall_incidents"]},
    }


def _within(share_G: Floats, _: Floats) -> Any:
    """Last group that fits into each share of the work, -1 where not even the first does."""
    return np.searchsorted(share_G, SHARES + 1e-9, side="right") - 1


def _each(at_RG: Floats, value_RG: Floats, find: Callable[[Floats, Floats], Any]) -> Floats:
    """Values [R, points] at the groups that `find` names in each row of `at_RG`; before the first group it is 0."""
    result = []
    for at_G, value_G in zip(at_RG, value_RG, strict=True):
        group = np.minimum(find(at_G, value_G), len(at_G) - 1)
        result.append(np.where(group < 0, 0.0, value_G[group]))
    return np.array(result)
