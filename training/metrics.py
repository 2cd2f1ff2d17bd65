"""What a model is worth: metrics of one task with intervals, ready for metrics.json.

Design choices
- A hazard task is measured per horizon on the cumulative risk, over the rows whose outcome within it is known.
- Every metric carries a 95 % bootstrap interval clustered by history or customer, since a history's prefixes are
  anything but independent.
- Recall at a workload of prefixes is told per prefix and per incident: a case, or a history where there are none,
  with a positive prefix is found when one of these is among the riskiest.
- Prevalence stands beside AUPRC, and the AUROC per prefix length k beside the pooled one: over all histories that
  reach k events (variable cohort), and over those that reach every k (fixed cohort).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forewarn.targets import ClassificationTask, HazardLabels, HazardTask, RegressionTask, Task, TaskLabels
from training.bootstrap import Floats, Metric, Ranking, estimates

PREFIXES = 8


def evaluate_task(
    task: Task,
    predictions: NDArray[np.floating],
    labels: TaskLabels,
    *,
    clusters: NDArray[np.generic],
    prefix: NDArray[np.integer],
    histories: NDArray[np.generic] | None = None,
    resamples: int = 200,
    seed: int = 0,
    class_weights: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Measure predictions of N rows against their labels.

    predictions: hazard cumulative risk [N, K]; classification probabilities [N, classes]; regression [N], transformed
    like the labels. labels: as from ``label_history``, rows concatenated. clusters [N]: history or customer of each
    row, what the bootstrap resamples. prefix [N]: number of events of the row, from 1. histories [N]: history or case
    of each row, for the fixed cohort and the recall of incidents; ``clusters`` when not given. class_weights: of
    the balanced choice (``training.decision``), told with what it gives. Rows without label are left out here.
    """
    if len(predictions) != len(clusters) or len(predictions) != len(prefix):
        raise ValueError(
            f"task {task.name}: found {len(predictions)} predictions, {len(clusters)} clusters and {len(prefix)} "
            "prefixes, expected one of each per row; give rows in one order"
        )
    histories = clusters if histories is None else histories
    judged = list(judge(task, predictions, labels, histories, class_weights))
    if isinstance(task, HazardTask):
        assert isinstance(labels, HazardLabels)
        horizons = {}
        for k, (name, (rows, metric)) in enumerate(zip(task.horizons.names, judged, strict=True)):
            within, cluster = labels.cumulative()[0][rows, k], clusters[rows]
            measured = _counts(rows, clusters) | {"positives": int(within.sum())}
            if len(within):
                measured["prevalence"] = float(within.mean())
                measured |= estimates(metric, cluster, resamples, seed)
                risk = predictions[rows, k]
                measured["by_prefix"] = _by_prefix(
                    risk, within, cluster, prefix[rows], histories[rows], resamples, seed
                )
            horizons[name] = measured
        return {"kind": task.kind, "horizons": horizons}
    assert isinstance(labels, np.ndarray)
    ((rows, metric),) = judged
    measured = _counts(rows, clusters)
    if rows.any():
        found = estimates(metric, clusters[rows], resamples, seed)
        measured |= (
            _shares(task, labels[rows]) | found if isinstance(task, ClassificationTask) else _errors(task, found)
        )
    return {"kind": task.kind} | measured


def judge(
    task: Task,
    predictions: NDArray[np.floating],
    labels: TaskLabels,
    units: NDArray[np.generic],
    class_weights: Sequence[float] | None = None,
) -> Iterator[tuple[NDArray[np.bool_], Metric]]:
    """What is measured of N rows: which of them are labelled [N], and the measures as a function of their weights.

    Once per horizon of a hazard task, else once. units [N]: the incident of each row. Arguments as in `evaluate_task`.
    """
    if isinstance(task, HazardTask):
        assert isinstance(labels, HazardLabels)
        within_NK, known_NK = labels.cumulative()
        for risk_N, within_N, known_N in zip(predictions.T, within_NK.T, known_NK.T, strict=True):
            yield known_N, Ranking(risk_N[known_N], within_N[known_N], units[known_N])
    elif isinstance(task, ClassificationTask):
        assert isinstance(labels, np.ndarray)
        yield (known_N := labels >= 0), class_measures(predictions[known_N], labels[known_N], class_weights)
    else:
        assert isinstance(labels, np.ndarray)
        yield (known_N := np.isfinite(labels)), error_measures(task, predictions[known_N], labels[known_N])


def headline(result: dict[str, Any]) -> dict[str, float | None]:
    """The one or two figures of a task that a command prints: AUROC of the longest horizon, macro-F1, or MAE."""
    if result["kind"] == "hazard":
        horizon, measured = list(result["horizons"].items())[-1]
        return {f"auroc_{horizon.replace(' ', '_')}": measured.get("auroc", {}).get("value")}
    names = ("accuracy", "macro_f1") if result["kind"] == "classification" else ("mae",)
    return {name: result.get(name, {}).get("value") for name in names}


def _by_prefix(
    risk: NDArray[np.floating],
    within: NDArray[np.generic],
    clusters: NDArray[np.generic],
    prefix: NDArray[np.integer],
    histories: NDArray[np.generic],
    resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    lengths = range(1, min(PREFIXES, int(prefix.max())) + 1)
    fixed = np.isin(histories, histories[prefix == lengths[-1]])
    result = []
    for k in lengths:
        entry: dict[str, Any] = {"k": k}
        for name, cohort in (("variable", prefix == k), ("fixed", (prefix == k) & fixed)):
            ranking = Ranking(risk[cohort], within[cohort])
            entry[name] = {"rows": int(cohort.sum())}
            if cohort.any():
                entry[name]["prevalence"] = float(within[cohort].mean())
                entry[name]["auroc"] = estimates(ranking.ranked, clusters[cohort], resamples, seed)["auroc"]
        result.append(entry)
    return result


def _shares(task: ClassificationTask, label_N: NDArray[np.integer]) -> dict[str, Any]:
    classes = task.classes or ()
    share = np.bincount(label_N, minlength=len(classes)) / len(label_N)
    return {"prevalence": dict(zip(classes, share.tolist(), strict=False))}


def class_measures(
    probability_NC: NDArray[np.floating],
    label_N: NDArray[np.integer],
    class_weights: Sequence[float] | NDArray[np.floating] | None = None,
) -> Metric:
    """Accuracy, macro-F1 and log loss of class probabilities, as a function of row weights [R, N].

    With `class_weights` also the macro-F1 of the balanced choice, of `training.decision`.
    """
    size = probability_NC.shape[1]
    guess_N = probability_NC.argmax(axis=1)
    likelihood_N = np.clip(probability_NC[np.arange(len(label_N)), label_N], 1e-7, 1.0)
    log_loss_N = -np.log(likelihood_N.astype(np.float64))

    def macro_f1(guess_N: NDArray[np.integer], weight_RN: Floats) -> Floats:
        pairs = np.stack([np.bincount(label_N * size + guess_N, weight, minlength=size**2) for weight in weight_RN])
        f1_RC = f1_scores(pairs.reshape(-1, size, size).astype(np.float64))
        mean_R: Floats = np.nanmean(f1_RC, axis=1)  # over the classes that occur, in truth or in guess
        return mean_R

    def measure(weight_RN: Floats) -> dict[str, Floats]:
        hits_R = weight_RN @ (guess_N == label_N)
        total_R = weight_RN.sum(axis=1)
        found = {
            "accuracy": hits_R / total_R,
            "macro_f1": macro_f1(guess_N, weight_RN),
            "log_loss": weight_RN @ log_loss_N / total_R,
        }
        if class_weights is not None:
            balanced_N = (probability_NC * np.asarray(class_weights)).argmax(axis=1)
            found["macro_f1_balanced"] = macro_f1(balanced_N, weight_RN)
        return found

    return measure


def f1_scores(confusion_RCC: Floats) -> Floats:
    """F1 of every class [R, C] from confusion matrices (truth, guess); NaN where a class occurs in neither."""
    hits_RC = np.diagonal(confusion_RCC, axis1=1, axis2=2)
    touched_RC = confusion_RCC.sum(axis=2) + confusion_RCC.sum(axis=1)
    return np.divide(2 * hits_RC, touched_RC, out=np.full_like(touched_RC, np.nan), where=touched_RC > 0)


def _errors(task: RegressionTask, found: dict[str, Any]) -> dict[str, Any]:
    return {"unit": task.unit if task.field in ("gap", "remaining_time") else None, "mae": found["mae"]}


def error_measures(task: RegressionTask, value_N: NDArray[np.floating], label_N: NDArray[np.floating]) -> Metric:
    """Mean absolute error and bias (mean of predicted minus true) in the field's own unit, from row weights [R, N]."""
    error_N = task.inverse(value_N.astype(np.float64).ravel()) - task.inverse(label_N.astype(np.float64))

    def measure(weight_RN: Floats) -> dict[str, Floats]:
        total_R = weight_RN.sum(axis=1)
        return {"mae": weight_RN @ np.abs(error_N) / total_R, "bias": weight_RN @ error_N / total_R}

    return measure


def _counts(rows: NDArray[np.bool_], clusters: NDArray[np.generic]) -> dict[str, Any]:
    return {"rows": int(rows.sum()), "clusters": len(np.unique(clusters[rows]))}
