"""Metrics of a ranking under many row weightings at once: the point estimate and every bootstrap resample.

Resampling clusters with replacement only changes how often each row counts, so rows are sorted once and every metric
is computed for all weightings together (R weightings, N rows, G groups of equal scores).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Metric = Callable[[Floats], dict[str, Floats]]  # row weights [R, N] -> values per name, first axis R
WORKLOADS = (0.05, 0.12)  # shares of rows a team can look at; .118 is the yardstick of arXiv 2010.06145
ECE_BINS = 15
_CHUNK = 4_000_000  # weights held at once


def cluster_weights(clusters: NDArray[np.generic], resamples: int, seed: int) -> Iterator[Floats]:
    """Row weights in chunks [r, N]: first all ones, then how often each row's cluster was drawn in each resample."""
    names, cluster_N = np.unique(clusters, return_inverse=True)
    rng = np.random.default_rng(seed)
    per_chunk = max(1, _CHUNK // max(len(cluster_N), 1))
    yield np.ones((1, len(cluster_N)))
    for start in range(0, resamples, per_chunk):
        size = min(per_chunk, resamples - start)
        drawn = [np.bincount(rng.integers(0, len(names), len(names)), minlength=len(names)) for _ in range(size)]
        yield np.array(drawn, dtype=np.float64)[:, cluster_N]


def estimates(
    metric: Metric, clusters: NDArray[np.generic], resamples: int, seed: int
) -> dict[str, dict[str, float | None]]:
    """``{name: {value, low, high}}``: each metric with its 95 % percentile interval over resampled clusters.

    Undefined values (an AUROC without both classes) are None, also in JSON; so are intervals without resamples.
    """
    chunks = [metric(weights) for weights in cluster_weights(clusters, resamples, seed)]
    result = {}
    for name in chunks[0]:
        values = np.concatenate([chunk[name] for chunk in chunks])
        drawn = values[1:][np.isfinite(values[1:])]
        low, high = np.percentile(drawn, [2.5, 97.5]) if len(drawn) else (np.nan, np.nan)
        result[name] = {"value": _json(values[0]), "low": _json(low), "high": _json(high)}
    return result


def bands(
    metric: Metric, clusters: NDArray[np.generic], resamples: int, seed: int
) -> dict[str, dict[str, list[float | None]]]:
    """`estimates` of whole curves: the metric gives [R, G] per name, the result lists of G values and interval ends."""
    chunks = [metric(weights) for weights in cluster_weights(clusters, resamples, seed)]
    result = {}
    for name in chunks[0]:
        value_RG = np.concatenate([chunk[name] for chunk in chunks])
        low_G, high_G = np.full((2, value_RG.shape[1]), np.nan)
        for g, drawn in enumerate(value_RG[1:].T):
            if np.isfinite(drawn).any():
                low_G[g], high_G[g] = np.percentile(drawn[np.isfinite(drawn)], [2.5, 97.5])
        ends = {"value": value_RG[0], "low": low_G, "high": high_G}
        result[name] = {end: [_json(value) for value in values] for end, values in ends.items()}
    return result


def best_positives(
    label_N: NDArray[np.generic], unit_N: NDArray[np.generic]
) -> tuple[NDArray[np.int64], NDArray[np.generic]]:
    """Of rows in order of falling score, the first positive one of each unit that has any; and those units."""
    positive = np.flatnonzero(label_N)
    units, first = np.unique(unit_N[positive], return_index=True)
    return positive[first], units


class Ranking:
    """Scores [N] in [0, 1] and binary labels [N], sorted once; every method maps weights [R, N] to values [R].

    ``unit_N`` names the incident of each row: what is to be found once, however many of its rows are positive.
    """

    def __init__(
        self,
        score_N: NDArray[np.floating],
        label_N: NDArray[np.generic],
        unit_N: NDArray[np.generic] | None = None,
    ) -> None:
        self.unit_N = unit_N
        self.score_N = np.asarray(score_N, dtype=np.float64)
        self.label_N = np.asarray(label_N, dtype=np.float64)
        self._order = np.argsort(-self.score_N, kind="stable")
        ranked = self.score_N[self._order]
        self._groups = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]]) if len(ranked) else np.zeros(0, np.int64)

    def ranked(self, weight_RN: Floats) -> dict[str, Floats]:
        """AUROC, AUPRC (average precision) and recall per workload; rows of equal score count as in random order."""
        weight_RN = weight_RN[:, self._order]
        rows_RG = np.add.reduceat(weight_RN, self._groups, axis=1)
        hits_RG = np.add.reduceat(weight_RN * self.label_N[self._order], self._groups, axis=1)
        seen_RG, found_RG = np.cumsum(rows_RG, axis=1), np.cumsum(hits_RG, axis=1)
        total_R, hits_R = seen_RG[:, -1], found_RG[:, -1]
        misses_R = total_R - hits_R
        with np.errstate(divide="ignore", invalid="ignore"):
            # Each positive beats the negatives ranked below it and half of those that score the same.
            below_RG = misses_R[:, None] - (seen_RG - found_RG)
            wins_R = np.sum(hits_RG * (below_RG + 0.5 * (rows_RG - hits_RG)), axis=1)
            # A resample may hold no row of the top groups: their precision is 0/0 and their hits are 0.
            precision_RG = np.divide(found_RG, seen_RG, out=np.zeros_like(seen_RG), where=seen_RG > 0)
            result = {
                "auroc": wins_R / (hits_R * misses_R),
                "auprc": np.sum(hits_RG * precision_RG, axis=1) / hits_R,
            }
            for share in WORKLOADS:
                # Linear within a group of equal scores: the expectation when the group is worked through at random.
                caught = [
                    np.interp(share * total, np.r_[0.0, seen], np.r_[0.0, found])
                    for total, seen, found in zip(total_R, seen_RG, found_RG, strict=True)
                ]
                result[f"recall_{round(100 * share)}"] = np.array(caught) / hits_R
        return result

    def incidents(self, weight_RN: Floats) -> dict[str, Floats]:
        """Recall of incidents per workload: of those with a positive row, the share that has one among the top rows.

        Rows of equal score count as in random order: where a share f of their group is worked through, an incident
        with m positive rows in it, and none above, is found with probability 1 - (1 - f)^m. Rows of one incident must
        weigh alike, as they do when clusters are drawn that hold whole incidents.
        """
        assert self.unit_N is not None
        weight_RN, unit_N = weight_RN[:, self._order], self.unit_N[self._order]
        label_N = self.label_N[self._order]
        group_N = np.searchsorted(self._groups, np.arange(len(unit_N)), side="right") - 1
        best_U, units = best_positives(label_N, unit_N)
        # Positive rows of a unit in the group of its best one.
        pair_N = np.where(label_N > 0, np.searchsorted(units, unit_N), len(units))
        same_N = group_N == np.r_[group_N[best_U], -1][np.minimum(pair_N, len(units))]
        rows_U = np.bincount(pair_N[same_N], minlength=len(units))[: len(units)]
        order_U = np.argsort(group_N[best_U], kind="stable")
        best_U, rows_U = best_U[order_U], rows_U[order_U]
        group_U, weight_RU = group_N[best_U], weight_RN[:, best_U]
        seen_RG = np.cumsum(np.add.reduceat(weight_RN, self._groups, axis=1), axis=1)
        found_RU = np.cumsum(np.c_[np.zeros(len(weight_RU)), weight_RU], axis=1)
        result = {}
        for share in WORKLOADS:
            value_R = np.full(len(weight_RN), np.nan)
            for r, (seen_G, found_U) in enumerate(zip(seen_RG, found_RU, strict=True)):
                if found_U[-1] == 0:
                    continue
                last = int(np.searchsorted(seen_G, share * seen_G[-1]))  # the group that the workload ends in
                before = seen_G[last - 1] if last else 0.0
                part = (share * seen_G[-1] - before) / (seen_G[last] - before)
                own = slice(*np.searchsorted(group_U, [last, last + 1]))
                tied = weight_RU[r, own] @ (1 - (1 - part) ** rows_U[own])
                value_R[r] = (found_U[own.start] + tied) / found_U[-1]
            result[f"incidents_{round(100 * share)}"] = value_R
        return result

    def calibration(self, weight_RN: Floats) -> dict[str, Floats]:
        """Brier score, log loss and ECE over 15 equal-mass bins.

        Equal-mass bins (Nguyen and O'Connor 2015, arXiv 1508.05154) because rare events leave equal-width bins empty;
        rows of equal score share a bin. The bootstrap interval of an ECE leans upwards: it adds sampling noise.
        """
        total_R = weight_RN.sum(axis=1)
        clipped_N = np.clip(self.score_N, 1e-7, 1 - 1e-7)
        log_loss_N = -np.where(self.label_N > 0, np.log(clipped_N), np.log1p(-clipped_N))
        edges = np.unique(np.quantile(self.score_N, np.linspace(0, 1, ECE_BINS + 1)[1:-1]))
        bins_N = np.searchsorted(edges, self.score_N, side="right")
        gap_NB = np.zeros((len(bins_N), len(edges) + 1))
        gap_NB[np.arange(len(bins_N)), bins_N] = self.label_N - self.score_N
        return {
            "brier": weight_RN @ (self.score_N - self.label_N) ** 2 / total_R,
            "log_loss": weight_RN @ log_loss_N / total_R,
            "ece": np.abs(weight_RN @ gap_NB).sum(axis=1) / total_R,
        }

    def __call__(self, weight_RN: Floats) -> dict[str, Floats]:
        found = {} if self.unit_N is None else self.incidents(weight_RN)
        return self.ranked(weight_RN) | found | self.calibration(weight_RN)


def _json(value: float | np.floating) -> float | None:
    return float(value) if np.isfinite(value) else None
