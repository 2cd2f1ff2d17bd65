"""LightGBM at its best: a small search on the validation slice, then several seeds averaged.

Design choices
- The search is a fixed list of parameter sets, from the usual one outwards to smaller, larger and more regularised
  trees; each is stopped early on the validation loss, and the one with the lowest wins. The test split has no say.
- A hazard task gets one model per horizon of P(onset within h), on rows where that is known; the search looks at the
  longest horizon that has both outcomes, the others take what it finds.
- Thresholds are rounded down to float32, the precision of the features. No prediction changes (x <= t holds for a
  float32 x exactly if x <= the float32 below t), and an ONNX graph, which has float32 thresholds only, then says
  exactly what LightGBM says; rounded to the nearest, single rows were off by .03 on the ServiceNow log.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from forewarn.targets import ClassificationTask, HazardTask, RegressionTask, Task
from training.aggregates import Float32s
from training.config import BoostingConfig
from training.table import Table
from training.target_encoding import TargetEncoding

# features [N, D] -> P(1) [N], probabilities [N, C], or values [N]
Scores = Callable[[Float32s], NDArray[np.float64]]
_LEAST_ROWS_PER_THREAD = 10_000  # with fewer rows, threads wait for each other longer than they work
_ROUNDS = 1_000
_ROUNDS_UNWATCHED = 150  # where no validation loss can stop the fit
_PATIENCE = 50  # rounds without a better validation loss
_FIXED: dict[str, Any] = {
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "max_cat_to_onehot": 8,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
_SEARCHED = ("num_leaves", "min_data_in_leaf", "feature_fraction", "lambda_l2", "learning_rate", "cat_smooth")
CANDIDATES = [
    dict(zip(_SEARCHED, values, strict=True))
    for values in (
        (31, 40, 0.6, 5.0, 0.05, 20.0),
        (15, 60, 0.3, 20.0, 0.05, 50.0),
        (31, 100, 0.3, 50.0, 0.05, 100.0),
        (7, 20, 0.5, 1.0, 0.1, 10.0),
        (63, 100, 0.3, 20.0, 0.05, 50.0),
        (15, 20, 0.8, 1.0, 0.05, 10.0),
        (7, 200, 0.3, 10.0, 0.1, 100.0),
        (63, 20, 0.6, 1.0, 0.03, 20.0),
    )
]


@dataclass(frozen=True)
class Boosted:
    """Boosters of several seeds for one label, averaged: features [N, D] -> P(1) [N], probabilities [N, P], value [N].

    P counts the classes met in training, `present` of the task's `size`; the probabilities returned cover all. With an
    `encoding` the boosters also read what it makes of the features. `platt` is the scale and shift of the logits that
    their leaves hold already.
    """

    boosters: list[lgb.Booster]
    present: list[int] | None = None
    size: int = 0
    encoding: TargetEncoding | None = None
    platt: tuple[float, float] = (1.0, 0.0)

    def __call__(self, features_ND: Float32s) -> NDArray[np.float64]:
        if self.encoding is not None:
            features_ND = self.encoding.extend(features_ND)
        found = [np.asarray(booster.predict(features_ND), np.float64) for booster in self.boosters]
        mean = np.mean(found, axis=0)
        if self.present is None:
            return mean
        spread_NC = np.zeros((len(features_ND), self.size))
        spread_NC[:, self.present] = mean
        return spread_NC

    @property
    def trees(self) -> list[int]:
        """Number of trees of each booster."""
        return [booster.num_trees() for booster in self.boosters]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values that `from_dict` reads."""
        texts = [booster.model_to_string() for booster in self.boosters]
        encoding = self.encoding.to_dict() if self.encoding is not None else None
        return {"boosters": texts, "present": self.present, "size": self.size, "encoding": encoding}

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Boosted:
        """The models that `to_dict` described."""
        boosters = [lgb.Booster(model_str=text) for text in saved["boosters"]]
        encoding = TargetEncoding.from_dict(found) if (found := saved.get("encoding")) else None
        return cls(boosters, saved["present"], saved["size"], encoding)


def outputs(task: Task, models: Sequence[Scores], features_ND: Float32s) -> NDArray[np.float64]:
    """Predictions of a task from its models, in the layout of `evaluate_task`."""
    return in_layout(task, [model(features_ND) for model in models])


def in_layout(task: Task, said: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """What the models of a task's labels say, in the layout of `evaluate_task`: a risk never falls with the horizon."""
    return np.maximum.accumulate(np.stack(said, axis=1), axis=1) if isinstance(task, HazardTask) else said[0]


def has_choice(table: Table) -> bool:
    """Whether the labels differ at all: without a choice there is nothing to fit or to compare."""
    return len(np.unique(table.label)) > 1


def search(
    task: Task,
    train: Sequence[Table],
    valid: Sequence[Table],
    categorical: list[int],
    config: BoostingConfig,
    seed: int,
) -> dict[str, Any]:
    """The candidate with the lowest validation loss on the last label with a choice; the usual one where none has."""
    able = [pair for pair in zip(train, valid, strict=True) if all(map(has_choice, pair))]
    if config.candidates == 1 or not able:
        return CANDIDATES[0]
    losses = []
    for candidate in CANDIDATES[: config.candidates]:
        booster = _boost(task, *able[-1], categorical, candidate, config, seed)
        [(_, loss)] = booster.best_score["valid_0"].items()
        losses.append(loss)
    return CANDIDATES[int(np.argmin(losses))]


def boost(
    task: Task, train: Table, valid: Table, categorical: list[int], candidate: dict[str, Any], config: BoostingConfig,
    seed: int,
) -> Boosted:  # fmt: skip
    """The average of `config.seeds` models under the parameters of one candidate; `categorical` columns hold tokens."""
    boosters = [
        _exact(_boost(task, train, valid, categorical, candidate, config, seed + number))
        for number in range(config.seeds)
    ]
    return _averaged(task, boosters, train)


def grow_again(
    task: Task, model: Boosted, rows: Table, categorical: list[int], candidate: dict[str, Any], config: BoostingConfig,
    seed: int,
) -> Boosted:  # fmt: skip
    """A model of `boost` fitted on other rows, each booster to the number of trees it has; its Platt map stays."""
    boosters = [
        _exact(_boost(task, rows, None, categorical, candidate, config, seed + number, booster.current_iteration()))
        for number, booster in enumerate(model.boosters)
    ]
    return _mapped(_averaged(task, boosters, rows), *model.platt)


def _averaged(task: Task, boosters: list[lgb.Booster], train: Table) -> Boosted:
    if isinstance(task, ClassificationTask):
        return Boosted(boosters, [int(label) for label in np.unique(train.label)], len(task.classes or ()))
    return Boosted(boosters)


def recalibrated(model: Boosted, valid: Table, weight_N: NDArray[np.float64]) -> Boosted:
    """A binary model whose logits are scaled and shifted (Platt) to fit `valid` under other weights [N].

    The map is folded into the leaves, so that the trees stay all there is. Unchanged where the labels do not differ.
    """
    counted = weight_N > 0
    if len(np.unique(valid.label[counted])) < 2:
        return model
    features_ND = valid.features if model.encoding is None else model.encoding.extend(valid.features)
    raw_N = np.mean([np.asarray(booster.predict(features_ND, raw_score=True)) for booster in model.boosters], axis=0)
    platt = LogisticRegression(C=1e6).fit(raw_N[counted, None], valid.label[counted], weight_N[counted])
    scale, shift = float(platt.coef_[0, 0]), float(platt.intercept_[0])
    if scale <= 0:  # the slice is too small to know better than the trees
        return model
    return _mapped(model, scale, shift)


def _mapped(model: Boosted, scale: float, shift: float) -> Boosted:
    if (scale, shift) == (1.0, 0.0):
        return model
    return replace(
        model, boosters=[_with_leaves(booster, scale, shift) for booster in model.boosters], platt=(scale, shift)
    )


def _with_leaves(booster: lgb.Booster, scale: float, shift: float) -> lgb.Booster:
    """The booster with every leaf scaled, and those of the first tree shifted too."""
    first, *later = re.split(r"^(?=leaf_value=)", booster.model_to_string(), flags=re.M)
    parts = [first]
    for number, part in enumerate(later):
        line, rest = part.split("\n", 1)
        leaves = np.array(line.removeprefix("leaf_value=").split(), np.float64) * scale + (0.0 if number else shift)
        parts.append(f"leaf_value={' '.join(repr(float(leaf)) for leaf in leaves)}\n{rest}")
    return lgb.Booster(model_str=re.sub(r"^tree_sizes=.*\n", "", "".join(parts), flags=re.M))


def boosted_facts(parameters: dict[str, Any], models: Sequence[Scores]) -> dict[str, Any]:
    """What the search chose, and the trees of every model's boosters."""
    return {"parameters": parameters, "trees": [model.trees for model in models if isinstance(model, Boosted)]}


def _boost(
    task: Task, train: Table, valid: Table | None, categorical: list[int], candidate: dict[str, Any],
    config: BoostingConfig, seed: int, rounds: int = _ROUNDS_UNWATCHED,
) -> lgb.Booster:  # fmt: skip
    """One booster, stopped early by `valid`; without rows that can tell, after `rounds`."""
    threads = min(config.threads, max(1, len(train.label) // _LEAST_ROWS_PER_THREAD))
    parameters = _FIXED | candidate | {"seed": seed, "num_threads": threads}
    if isinstance(task, ClassificationTask):
        present = np.unique(train.label)
        parameters |= {"objective": "multiclass", "num_class": len(present)}
        if valid is not None:
            seen = valid.take(np.isin(valid.label, present))
            valid = seen._replace(label=np.searchsorted(present, seen.label))
        train = train._replace(label=np.searchsorted(present, train.label))
    else:
        # Absolute error in the transformed unit aims at the median, which any monotone transform keeps.
        parameters["objective"] = "regression_l1" if isinstance(task, RegressionTask) else "binary"
    data = lgb.Dataset(train.features, train.label, weight=train.weight, categorical_feature=categorical)
    if valid is None or not has_choice(valid):
        return lgb.train(parameters, data, num_boost_round=rounds)
    watched = lgb.Dataset(valid.features, valid.label, weight=valid.weight, reference=data)
    return lgb.train(
        parameters,
        data,
        num_boost_round=_ROUNDS,
        valid_sets=[watched],
        callbacks=[lgb.early_stopping(_PATIENCE, verbose=False)],
    )


def _exact(booster: lgb.Booster) -> lgb.Booster:
    """The booster with float32 thresholds, cut to its best round."""
    text = re.sub(
        r"^threshold=(.+)$", lambda found: f"threshold={_floor(found[1])}", booster.model_to_string(), flags=re.M
    )
    # The sizes in bytes of the trees' texts are optional, and no longer right.
    return lgb.Booster(model_str=re.sub(r"^tree_sizes=.*\n", "", text, flags=re.M))


def _floor(thresholds: str) -> str:
    exact = np.array(thresholds.split(), dtype=np.float64)
    with np.errstate(over="ignore"):
        near = exact.astype(np.float32)
    below = np.where(near > exact, np.nextafter(near, np.float32(-np.inf)), near)
    return " ".join(repr(float(value)) for value in below)
