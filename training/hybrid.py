"""The hybrid scorer: LightGBM on aggregates beside the sequence model, blended in the logit.

Design choices
- Trees are good at what the sequence model is not (sharp thresholds, rare categories) and the other way round, so their
  errors differ and a blend beats both. It is fitted on the validation slice, two weights and a shift per horizon, under
  the weights of calibration: it is the hybrid's calibration too.
- Whether it ships is decided there as well, by folds over histories: fitted on four fifths, compared on the last one.
- Hazard tasks only; a model's other tasks keep the sequence model's scores.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from forewarn.sequence import EncodedHistory, RaggedDataset
from forewarn.sequence.aggregates import aggregates
from forewarn.targets import HazardTask
from training.baselines import Labelled, boost, labelled_rows
from training.measure import SplitRows
from training.prepare import Prepared
from training.weights import RowWeights, WeightsConfig

log = logging.getLogger(__name__)
HYBRID = "hybrid"  # its name in tables and manifests, and its folder in a run
LEAST_RISK = 1e-6  # risks are kept this far from 0 and 1 before their logit is taken
_FOLDS = 5
# Smaller trees than the baseline's: beside a sequence model they need not carry everything.
_PARAMETERS: dict[str, Any] = {
    "objective": "binary",
    "learning_rate": 0.03,
    "num_leaves": 15,
    "min_data_in_leaf": 60,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.7,
    "lambda_l2": 20.0,
    "cat_smooth": 50.0,
}
Scores = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Blend:
    """One horizon: risk = sigmoid(sequence * logit(sequence model) + trees * logit(trees) + shift)."""

    sequence: float
    trees: float
    shift: float

    def __call__(self, sequence_N: NDArray[Any], trees_N: NDArray[Any]) -> NDArray[np.float64]:
        """Blended risks [N]."""
        return expit(self.sequence * _logit(sequence_N) + self.trees * _logit(trees_N) + self.shift)


@dataclass(frozen=True)
class Hybrid:
    """Per hazard task one booster and one blend per horizon."""

    boosters: dict[str, list[lgb.Booster]]
    blends: dict[str, list[Blend]]

    def __call__(self, histories: Sequence[EncodedHistory], scores: Scores) -> dict[str, NDArray[Any]]:
        """Scores of every prefix, given those of the sequence model in the layout of `score_split`."""
        features_NA = np.concatenate([aggregates(history) for history in histories])
        blended = dict(scores)
        for task, boosters in self.boosters.items():
            risks = [
                blend(scores[task][:, k], np.asarray(booster.predict(features_NA, num_threads=1)))
                for k, (booster, blend) in enumerate(zip(boosters, self.blends[task], strict=True))
            ]
            # Each horizon has trees of its own; a longer one never holds less risk.
            blended[task] = np.maximum.accumulate(np.stack(risks, axis=1), axis=1).astype(np.float32)
        return blended

    def save(self, folder: Path) -> None:
        """Writes what `load` reads."""
        folder.mkdir(parents=True, exist_ok=True)
        told = {
            task: [
                {"trees": booster.model_to_string(), "blend": vars(blend)}
                for booster, blend in zip(boosters, self.blends[task], strict=True)
            ]
            for task, boosters in self.boosters.items()
        }
        (folder / "hybrid.json").write_text(json.dumps(told))

    @classmethod
    def load(cls, folder: Path) -> Hybrid | None:
        """The hybrid that a run shipped; None where it shipped none."""
        path = folder / "hybrid.json"
        if not path.is_file():
            return None
        told = json.loads(path.read_text())
        return cls(
            {task: [lgb.Booster(model_str=part["trees"]) for part in parts] for task, parts in told.items()},
            {task: [Blend(**part["blend"]) for part in parts] for task, parts in told.items()},
        )


def fit_hybrid(prepared: Prepared, weights: WeightsConfig, scores: Scores, seed: int) -> tuple[Hybrid, dict[str, Any]]:
    """Trees on the training split, blends on the validation split, whose sequence scores are `scores`.

    The facts hold per task and horizon the validation log loss of both scorers over folds, and whether the hybrid wins:
    it does when it lowers their sum. Raises ValueError for a target without a hazard task.
    """
    tasks = [task for task in prepared.target.tasks if isinstance(task, HazardTask)]
    if not tasks:
        raise ValueError(
            f"hybrid: found no hazard task in target {prepared.target.name}, expected one; train with hybrid=false"
        )
    dataset, later = (RaggedDataset(prepared.split(name)) for name in ("train", "valid"))
    row_weights = RowWeights.fit(weights, dataset)
    train, valid = (SplitRows.load(prepared.split(name), prepared.target, row_weights) for name in ("train", "valid"))
    weight_N = row_weights.calibration(dataset, later)
    train_NA, valid_NA = (np.concatenate([aggregates(h) for h in split.histories]) for split in (train, valid))
    categorical = list(range(2 * train.histories[0].categorical.shape[1]))
    boosters: dict[str, list[lgb.Booster]] = {}
    blends: dict[str, list[Blend]] = {}
    facts: dict[str, Any] = {}
    for task in tasks:
        own, check = train.tasks[task.name], valid.tasks[task.name]
        boosters[task.name], blends[task.name], facts[task.name] = [], [], {}
        pairs = zip(labelled_rows(task, own), labelled_rows(task, check), task.horizons.names, strict=True)
        for k, ((rows, label), (known, truth), name) in enumerate(pairs):
            booster = boost(
                Labelled(train_NA[rows], label, own.weight()[rows]),
                Labelled(valid_NA[known], truth, check.weight()[known]),
                categorical,
                _PARAMETERS | {"seed": seed},
            )
            pair = scores[task.name][known, k], np.asarray(booster.predict(valid_NA[known]))
            boosters[task.name].append(booster)
            blends[task.name].append(_fit_blend(*pair, truth, weight_N[known]))
            facts[task.name][name] = _compare(*pair, truth, weight_N[known], check.clusters()[known])
    losses = [own for task in facts.values() for own in task.values()]
    wins = sum(own["hybrid"] for own in losses) < sum(own["sequence"] for own in losses)
    return Hybrid(boosters, blends), {"ships": wins, "valid_log_loss": facts}


def _fit_blend(
    sequence_N: NDArray[Any], trees_N: NDArray[Any], label_N: NDArray[Any], weight_N: NDArray[np.float64]
) -> Blend:
    if len(np.unique(label_N[weight_N > 0])) < 2:  # nothing to fit on: the sequence model's risk stays
        return Blend(1.0, 0.0, 0.0)
    design = np.stack([_logit(sequence_N), _logit(trees_N)], axis=1)
    fitted = LogisticRegression(C=10.0).fit(design, label_N, weight_N)
    sequence, trees = fitted.coef_[0].tolist()
    return Blend(sequence, trees, float(fitted.intercept_[0]))


def _compare(
    sequence_N: NDArray[Any],
    trees_N: NDArray[Any],
    label_N: NDArray[Any],
    weight_N: NDArray[np.float64],
    cluster_N: NDArray[np.integer],
) -> dict[str, float]:
    """Weighted log loss of the sequence model and of a blend fitted on the other folds."""
    fold_N = np.random.default_rng(0).permutation(int(cluster_N.max()) + 1)[cluster_N] % _FOLDS
    blended_N = np.empty(len(label_N))
    for fold in range(_FOLDS):
        inside = fold_N == fold
        rows = sequence_N[~inside], trees_N[~inside], label_N[~inside], weight_N[~inside]
        blended_N[inside] = _fit_blend(*rows)(sequence_N[inside], trees_N[inside])
    return {
        name: float(np.average(_log_loss(risk_N, label_N), weights=weight_N))
        for name, risk_N in (("sequence", sequence_N), ("hybrid", blended_N))
    }


def _log_loss(risk_N: NDArray[Any], label_N: NDArray[Any]) -> NDArray[np.float64]:
    clipped_N = np.clip(risk_N.astype(np.float64), LEAST_RISK, 1 - LEAST_RISK)
    return -np.where(label_N > 0, np.log(clipped_N), np.log1p(-clipped_N))


def _logit(risk_N: NDArray[Any]) -> NDArray[np.float64]:
    return logit(np.clip(risk_N.astype(np.float64), LEAST_RISK, 1 - LEAST_RISK))
