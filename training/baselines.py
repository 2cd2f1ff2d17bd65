"""Baselines on the rows of the transformer: prior, a one-line rule, logistic regression, LightGBM on aggregates.

Design choices
- Same rows, same information: every model reads ``Aggregates`` of the encoded histories, never the raw events.
- prior: the rate, shares or median of the training labels. rule: what a team would write on a whiteboard, the best
  threshold on one number, for classes and numbers a lookup by one field (see rules.py).
- logistic: scaled numbers with missing flags plus one-hot tokens (ridge regression for numbers).
- lightgbm: fixed sensible parameters, early stopping on the validation rows.
- A hazard task gets one model per horizon of P(onset within h), on rows where that is known; the risks of a row
  are then made non-decreasing in h.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import OneHotEncoder

from forewarn.targets import ClassificationTask, HazardLabels, HazardTask, RegressionTask, Task
from training.aggregates import Aggregates, Float32s, Rows
from training.rules import Scores, constant, lookup, threshold

NAMES = ("prior", "rule", "logistic", "lightgbm")
Predict = Callable[[Rows], NDArray[np.float64]]
_THREADS = 2
_LEAST_ROWS_PER_THREAD = 10_000  # with fewer rows, threads wait for each other longer than they work
_ROUNDS = 600
_PATIENCE = 50  # rounds without a better validation loss
_LIGHTGBM: dict[str, Any] = {
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "cat_smooth": 20.0,
    "max_cat_to_onehot": 8,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


def fit_baselines(
    train: Rows, valid: Rows, task: Task, seed: int = 0, names: Sequence[str] = NAMES
) -> dict[str, Predict]:
    """Fit the named baselines; each maps Rows to predictions in the layout of ``evaluate_task``.

    Hazard risk [N, K], classification probabilities [N, classes], regression [N] transformed like the labels.
    Deterministic given the seed. Raises ValueError for an unknown name or a task without any training label.
    """
    for name in names:
        if name not in NAMES:
            raise ValueError(f"baselines: found {name!r}, expected some of {', '.join(NAMES)}; correct the list")
    aggregates = Aggregates(train, seed)
    # Validation first: the training features then stay in the cache of Aggregates no longer than needed.
    valid_ND, train_ND = aggregates(valid), aggregates(train)
    targets, later = _targets(task, train), _targets(task, valid)
    if not any(len(label) for _, label in targets):
        raise ValueError(f"task {task.name}: found no labelled training row, expected some; check protocol and target")
    return {
        name: _predictor(
            task,
            aggregates,
            [
                _fit(name, task, aggregates, (train_ND[rows], label), (valid_ND[other], check), seed)
                for (rows, label), (other, check) in zip(targets, later, strict=True)
            ],
        )
        for name in names
    }


def _targets(task: Task, rows: Rows) -> list[tuple[NDArray[np.bool_], NDArray[np.generic]]]:
    """What to fit, as (rows with a label [N], their labels): one per horizon of a hazard task, else one."""
    labels = rows.label()
    if isinstance(labels, HazardLabels):
        within_NK, known_NK = labels.cumulative()
        return [(known, within[known]) for known, within in zip(known_NK.T, within_NK.T, strict=True)]
    known = labels >= 0 if isinstance(task, ClassificationTask) else np.isfinite(labels)
    return [(known, labels[known])]


def _predictor(task: Task, aggregates: Aggregates, models: list[Scores]) -> Predict:
    def predict(rows: Rows) -> NDArray[np.float64]:
        features_ND = aggregates(rows)
        if isinstance(task, HazardTask):
            return np.maximum.accumulate(np.stack([model(features_ND) for model in models], axis=1), axis=1)
        return models[0](features_ND)

    return predict


_Labelled = tuple[Float32s, NDArray[np.generic]]


def _fit(name: str, task: Task, aggregates: Aggregates, train: _Labelled, valid: _Labelled, seed: int) -> Scores:
    label_N = train[1]
    if name == "prior" or len(np.unique(label_N)) < 2:
        return constant(task, label_N)
    if name == "rule":
        return threshold(*train, aggregates) if isinstance(task, HazardTask) else lookup(task, *train, aggregates)
    if name == "logistic":
        return _linear(task, *train, aggregates)
    return _boosted(task, train, valid, aggregates, seed)


def _linear(task: Task, features_ND: Float32s, label_N: NDArray[np.generic], aggregates: Aggregates) -> Scores:
    tokens = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=20, max_categories=100, dtype=np.float32)
    tokens.fit(features_ND[:, aggregates.categorical])
    first = len(aggregates.categorical)
    known = np.ma.masked_invalid(_squashed(features_ND[:, first:]))
    mean, spread = known.mean(axis=0).filled(0.0), known.std(axis=0).filled(0.0)
    gappy = np.ma.getmaskarray(known).any(axis=0)

    def design(features_ND: Float32s) -> sparse.csr_matrix:
        numbers = (_squashed(features_ND[:, first:]) - mean) / np.where(spread > 1e-6, spread, 1.0)
        flags = np.isnan(numbers[:, gappy])
        dense = np.concatenate([np.clip(np.nan_to_num(numbers), -5, 5), flags], axis=1, dtype=np.float32)
        return sparse.hstack(
            [sparse.csr_matrix(dense), tokens.transform(features_ND[:, aggregates.categorical])], format="csr"
        )

    if isinstance(task, RegressionTask):
        ridge = Ridge(alpha=10.0, solver="lsqr").fit(design(features_ND), label_N)
        return lambda features_ND: ridge.predict(design(features_ND)).astype(np.float64)
    model = LogisticRegression(C=0.05, max_iter=300).fit(design(features_ND), label_N)
    if isinstance(task, HazardTask):
        return lambda features_ND: model.predict_proba(design(features_ND))[:, 1].astype(np.float64)
    return _all_classes(
        lambda features_ND: model.predict_proba(design(features_ND)), model.classes_, len(task.classes or ())
    )


def _squashed(value_ND: Float32s) -> Float32s:
    """Counts and distances have long tails; values within [-1, 1] hardly change."""
    return np.sign(value_ND) * np.log1p(np.abs(value_ND))


def _boosted(task: Task, train: _Labelled, valid: _Labelled, aggregates: Aggregates, seed: int) -> Scores:
    threads = min(_THREADS, max(1, len(train[0]) // _LEAST_ROWS_PER_THREAD))
    parameters = _LIGHTGBM | {"seed": seed, "num_threads": threads}
    present = np.unique(train[1]) if isinstance(task, ClassificationTask) else None
    if present is not None:
        parameters |= {"objective": "multiclass", "num_class": len(present)}
        seen = np.isin(valid[1], present)
        train = train[0], np.searchsorted(present, train[1])
        valid = valid[0][seen], np.searchsorted(present, valid[1][seen])
    else:
        # Absolute error in the transformed unit aims at the median, which any monotone transform keeps.
        parameters["objective"] = "regression_l1" if isinstance(task, RegressionTask) else "binary"
    data = lgb.Dataset(*train, categorical_feature=aggregates.categorical)
    stops = len(np.unique(valid[1])) > 1
    booster = lgb.train(
        parameters,
        data,
        num_boost_round=_ROUNDS if stops else _ROUNDS // 4,
        valid_sets=[lgb.Dataset(*valid, reference=data)] if stops else None,
        callbacks=[lgb.early_stopping(_PATIENCE, verbose=False)] if stops else None,
    )

    def predict(features_ND: Float32s) -> NDArray[np.float64]:
        return np.asarray(booster.predict(features_ND, num_threads=threads), dtype=np.float64)

    if present is not None:
        return _all_classes(predict, present, len(task.classes or ()))  # type: ignore[union-attr]
    return predict


def _all_classes(predict: Scores, present: NDArray[np.generic], size: int) -> Scores:
    """Probabilities over all classes from a model that met only some of them in training."""

    def spread(features_ND: Float32s) -> NDArray[np.float64]:
        probability_NC = np.zeros((len(features_ND), size))
        probability_NC[:, present.astype(np.int64)] = predict(features_ND)
        return probability_NC

    return spread
