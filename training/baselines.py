"""Baselines on the rows of the transformer: prior, a one-line rule, logistic regression, LightGBM on aggregates.

Design choices
- Same rows, same information: every model reads ``Aggregates`` of the encoded histories, never the raw events.
- prior: the rate, shares or median of the training labels. rule: what a team would write on a whiteboard, the best
  threshold on one number, for classes and numbers a lookup by one field (see rules.py).
- logistic: scaled numbers with missing flags plus one-hot tokens (ridge regression for numbers).
- lightgbm: searched on the validation rows, early stopping, several seeds (see boosting.py).
- A hazard task gets one model per horizon of P(onset within h), on rows where that is known; the risks of a row
  are then made non-decreasing in h.
- Refitted on training and validation rows, trees keep the parameters and sizes that validation found.
- The GRU is a network and trained as one (see recurrent_baseline.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import OneHotEncoder

from forewarn.targets import HazardTask, RegressionTask, Task
from training.aggregates import Aggregates, Float32s, Rows
from training.boosting import Boosted, boost, boosted_facts, grow_again, has_choice, outputs, search
from training.config import BoostingConfig
from training.rules import Scores, constant, lookup, threshold
from training.table import Table, tables

FLAT = ("prior", "rule", "logistic", "lightgbm")
NAMES = (*FLAT, "gru")  # of the whole table


@dataclass(frozen=True)
class Baseline:
    """A fitted baseline: Rows to predictions in the layout of ``evaluate_task``; ``facts`` say what was found."""

    task: Task
    aggregates: Aggregates
    models: list[Scores]
    facts: dict[str, Any]

    def __call__(self, rows: Rows) -> NDArray[np.float64]:
        return outputs(self.task, self.models, self.aggregates(rows))


def fit_baselines(
    train: Rows,
    valid: Rows,
    task: Task,
    seed: int = 0,
    names: Sequence[str] = FLAT,
    boosting: BoostingConfig | None = None,
) -> dict[str, Baseline]:
    """Fit the named baselines of ``FLAT``; each maps Rows to predictions in the layout of ``evaluate_task``.

    Hazard risk [N, K], classification probabilities [N, classes], regression [N] transformed like the labels.
    Deterministic given the seed. Raises ValueError for an unknown name or a task without any training label.
    """
    for name in names:
        if name not in FLAT:
            raise ValueError(f"baselines: found {name!r}, expected some of {', '.join(FLAT)}; correct the list")
    aggregates = Aggregates(train, seed)
    # Validation first: the training features then stay in the cache of Aggregates no longer than needed.
    later = tables(task, valid, aggregates(valid))
    earlier = tables(task, train, aggregates(train))
    if not any(len(table.label) for table in earlier):
        raise ValueError(f"task {task.name}: found no labelled training row, expected some; check protocol and target")
    config = boosting or BoostingConfig()
    found = search(task, earlier, later, aggregates.categorical, config, seed) if "lightgbm" in names else {}
    fitted = {}
    for name in names:
        models = [
            _fit(name, task, aggregates, table, check, found, config, seed)
            for table, check in zip(earlier, later, strict=True)
        ]
        facts = boosted_facts(found, models) if name == "lightgbm" else {}
        fitted[name] = Baseline(task, aggregates, models, facts)
    return fitted


def fit_again(
    fitted: Mapping[str, Baseline], train: Rows, valid: Rows, seed: int = 0, boosting: BoostingConfig | None = None
) -> dict[str, Baseline]:
    """The baselines of one `fit_baselines`, fitted on its training and validation rows together."""
    if not fitted:
        return {}
    config, again = boosting or BoostingConfig(), {}
    one = next(iter(fitted.values()))
    task, aggregates = one.task, one.aggregates  # those of all
    # Training first: its features may still be in the cache of Aggregates.
    earlier, later = (tables(task, rows, aggregates(rows)) for rows in (train, valid))
    whole = [table.joined(check) for table, check in zip(earlier, later, strict=True)]
    for name, old in fitted.items():
        models = [
            grow_again(task, model, table, aggregates.categorical, old.facts["parameters"], config, seed)
            if isinstance(model, Boosted)
            else _fit("prior" if name == "lightgbm" else name, task, aggregates, table, table, {}, config, seed)
            for model, table in zip(old.models, whole, strict=True)
        ]
        again[name] = replace(old, models=models)
    return again


def _fit(
    name: str, task: Task, aggregates: Aggregates, train: Table, valid: Table, found: dict[str, Any],
    config: BoostingConfig, seed: int,
) -> Scores:  # fmt: skip
    if name == "prior" or not has_choice(train):
        return constant(task, train.label)
    if name == "rule":
        fit = threshold if isinstance(task, HazardTask) else partial(lookup, task)
        return fit(train.features, train.label, aggregates)
    if name == "logistic":
        return _linear(task, train, aggregates)
    return boost(task, train, valid, aggregates.categorical, found, config, seed)


def _linear(task: Task, train: Table, aggregates: Aggregates) -> Scores:
    features_ND, label_N, weight_N = train
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
        ridge = Ridge(alpha=10.0, solver="lsqr").fit(design(features_ND), label_N, sample_weight=weight_N)
        return lambda features_ND: ridge.predict(design(features_ND)).astype(np.float64)
    model = LogisticRegression(C=0.05, max_iter=300).fit(design(features_ND), label_N, sample_weight=weight_N)
    if isinstance(task, HazardTask):
        return lambda features_ND: model.predict_proba(design(features_ND))[:, 1].astype(np.float64)
    return _all_classes(
        lambda features_ND: model.predict_proba(design(features_ND)), model.classes_, len(task.classes or ())
    )


def _squashed(value_ND: Float32s) -> Float32s:
    """Counts and distances have long tails; values within [-1, 1] hardly change."""
    return np.sign(value_ND) * np.log1p(np.abs(value_ND))


def _all_classes(predict: Scores, present: NDArray[np.generic], size: int) -> Scores:
    """Probabilities over all classes from a model that met only some of them in training."""

    def spread(features_ND: Float32s) -> NDArray[np.float64]:
        probability_NC = np.zeros((len(features_ND), size))
        probability_NC[:, present.astype(np.int64)] = predict(features_ND)
        return probability_NC

    return spread
