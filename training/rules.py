"""The baselines that fit in a sentence.

- constant: the training rate per horizon or class, the training median of a number.
- threshold: "this one number is above (or below) that threshold", with the largest Youden index J = TPR - FPR on
  training rows; a single threshold has AUROC (1 + |J|) / 2, so it is the best one by AUROC.
- lookup: the shares of classes, or the median, per value of the single best categorical field.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forewarn.targets import ClassificationTask, RegressionTask, Task
from training.aggregates import Aggregates, Float32s

# features [N, D] -> P(1) [N], probabilities [N, C], or values [N]
Scores = Callable[[Float32s], NDArray[np.float64]]
_LEAST_ROWS = 20  # of a value in training, for its own answer in a lookup


def constant(task: Task, label_N: NDArray[np.generic]) -> Scores:
    """What training says without looking at any feature."""
    value: NDArray[np.float64]
    if isinstance(task, ClassificationTask):
        value = _shares(label_N, len(task.classes or ()))[None, :]
    elif isinstance(task, RegressionTask):
        value = np.median(label_N.astype(np.float64), keepdims=True)
    else:
        value = np.array([label_N.astype(np.float64).mean() if len(label_N) else 0.5])
    return lambda features_ND: np.repeat(value, len(features_ND), axis=0)


def _shares(label_N: NDArray[np.generic], size: int) -> NDArray[np.float64]:
    """Class shares [C] with one pseudo-count in all, so that no class is impossible."""
    counts = np.bincount(label_N.astype(np.int64), minlength=size) + 1 / size
    return counts / counts.sum()


def threshold(features_ND: Float32s, label_N: NDArray[np.generic], aggregates: Aggregates) -> Scores:
    """The rates on both sides of the best threshold on the best readable feature."""
    positive_N = label_N.astype(bool)
    best = (-1.0, 0, 0.0)
    for column in aggregates.readable:
        value_N = np.nan_to_num(features_ND[:, column], nan=-np.inf)  # unknown counts as below everything
        order = np.argsort(value_N, kind="stable")
        ranked, hits = value_N[order], positive_N[order]
        j_N = np.abs(np.cumsum(hits) / hits.sum() - np.cumsum(~hits) / (~hits).sum())
        ends = np.flatnonzero(ranked[1:] > ranked[:-1])
        if len(ends):
            end = ends[np.argmax(j_N[ends])]
            best = max(best, (float(j_N[end]), -column, float(ranked[end])))
    _, column, edge = best[0], -best[1], best[2]

    def above(features_ND: Float32s) -> NDArray[np.bool_]:
        return np.nan_to_num(features_ND[:, column], nan=-np.inf) > edge

    high = above(features_ND)
    rates = [positive_N[side].mean() if side.any() else positive_N.mean() for side in (~high, high)]
    return lambda features_ND: np.where(above(features_ND), rates[1], rates[0])


def lookup(task: Task, features_ND: Float32s, label_N: NDArray[np.generic], aggregates: Aggregates) -> Scores:
    """Shares of classes, or the median, per token of the one categorical column that explains training rows best."""
    fallback = constant(task, label_N)(features_ND[:1])[0]
    best: tuple[float, int, dict[float, Any]] | None = None
    for column in aggregates.categorical:
        table, loss = {}, 0.0
        order = np.argsort(features_ND[:, column], kind="stable")
        tokens, starts = np.unique(features_ND[order, column], return_index=True)
        for token, own in zip(tokens.tolist(), np.split(label_N[order], starts[1:]), strict=True):
            answer = constant(task, own)(features_ND[:1])[0] if len(own) >= _LEAST_ROWS else fallback
            table[token] = answer
            wrong = own != np.argmax(answer) if isinstance(task, ClassificationTask) else np.abs(own - answer)
            loss += float(wrong.sum())
        if best is None or loss < best[0]:
            best = loss, column, table
    assert best is not None
    _, chosen, known = best
    return lambda features_ND: np.array([known.get(token, fallback) for token in features_ND[:, chosen].tolist()])
