"""The statistics of the linter: rank measures, and how well one field alone tells a label it was not fitted on.

N rows or histories. Categories are int codes [N], -1 for a missing value.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
_BINS = 64  # of a numeric field with more distinct values than that
_PRIOR = 1.0  # pseudo-rows at the overall rate, so that a value seen once does not decide


def ranks(value_N: Floats) -> Floats:
    """Ranks from 1 with ties averaged."""
    _, inverse, counts = np.unique(value_N, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def auroc(score_N: Floats, label_N: NDArray[np.bool_]) -> float:
    """Area under the ROC curve (Mann-Whitney, ties count half); NaN where one class is missing."""
    positives = int(label_N.sum())
    negatives = len(label_N) - positives
    if not positives or not negatives:
        return math.nan
    return float((ranks(score_N)[label_N].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def spearman(a_N: Floats, b_N: Floats) -> float:
    """Spearman's rank correlation; 0 where one side is constant."""
    if len(a_N) < 2:
        return 0.0
    a, b = ranks(a_N), ranks(b_N)
    spread = float(a.std() * b.std())
    return float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread else 0.0


def binned(number_N: Floats) -> Codes:
    """Codes of a number: its distinct values where these are few, else quantile bins."""
    code_N = np.full(len(number_N), -1, np.int64)
    known = np.isfinite(number_N)
    if known.any():
        distinct = np.unique(number_N[known])
        if len(distinct) > _BINS:
            distinct = np.unique(np.quantile(number_N[known], np.linspace(0, 1, _BINS)))
        code_N[known] = np.searchsorted(distinct, number_N[known])
    return code_N


def crossfit(code_N: Codes, target_N: Floats, fold_N: NDArray[np.bool_]) -> Floats:
    """For each row the mean of the target at its code, taken from the rows of the other fold.

    Folds must keep histories whole: then a code that names a history (an id) tells nothing.
    """
    estimate_N = np.empty(len(code_N))
    _, code = np.unique(code_N, return_inverse=True)
    size = int(code.max()) + 1
    for own in (fold_N, ~fold_N):
        other = ~own
        mean = float(target_N[other].mean()) if other.any() else 0.0
        total = np.bincount(code[other], target_N[other], size) + _PRIOR * mean
        estimate_N[own] = (total / (np.bincount(code[other], minlength=size) + _PRIOR))[code[own]]
    return estimate_N


def explained_classes(code_N: Codes, class_N: Codes, fold_N: NDArray[np.bool_]) -> float:
    """Share of the errors of "always the most frequent class" that knowing the row's code removes, cross-fitted."""
    classes, class_N = np.unique(class_N, return_inverse=True)
    if len(classes) < 2:
        return 0.0
    _, code = np.unique(code_N, return_inverse=True)
    usual = int(np.bincount(class_N).argmax())
    right = 0
    for own in (fold_N, ~fold_N):
        pairs, counts = np.unique(code[~own] * len(classes) + class_N[~own], return_counts=True)
        pairs = pairs[np.argsort(counts, kind="stable")]
        guess = np.full(int(code.max()) + 1, usual)
        guess[pairs // len(classes)] = pairs % len(classes)  # the most frequent comes last and stays
        right += int((guess[code[own]] == class_N[own]).sum())
    usually = float((class_N == usual).mean())
    return (right / len(class_N) - usually) / (1 - usually)


def explained_variance(code_N: Codes, number_N: Floats, fold_N: NDArray[np.bool_]) -> float:
    """R2 of the cross-fitted mean at the code of the row."""
    variance = float(number_N.var())
    return 1 - float(((number_N - crossfit(code_N, number_N, fold_N)) ** 2).mean()) / variance if variance else 0.0


def chance(hits: int, tries: int, rate: float) -> float:
    """An upper bound of log10 P(at least ``hits`` of ``tries``) at this rate, by the union bound."""
    ways = math.lgamma(tries + 1) - math.lgamma(hits + 1) - math.lgamma(tries - hits + 1)
    return min(0.0, (ways + hits * math.log(max(rate, 1e-12))) / math.log(10))
