"""Which trees stand behind the network: read it or not, tokens encoded or not, and how much they count against it.

Trees that read the network's outputs, out of fold for the training rows, learn where to trust it; trees that do not err
independently of it. Which is better, with or without target encoding and at which share of the mixture, differs by log
and question, so all are fitted, and their losses on unseen rows decide: on the training rows, by trees grown on the
other folds, and on the validation rows, half each. The validation rows have stopped the trees; the training rows are
older, and their networks had learned from less. Neither is trusted alone (docs/decisions/0020). The parameters are
searched once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forewarn.targets import HazardTask, RegressionTask, Task
from training.aggregates import Float32s, Rows
from training.boosting import (
    Boosted,
    boost,
    boosted_facts,
    grow_again,
    has_choice,
    in_layout,
    outputs,
    recalibrated,
    search,
)
from training.config import TrainConfig
from training.mixture import SHARES, mixture
from training.table import Table, tables
from training.target_encoding import TargetEncoding, extend_out_of_fold


@dataclass(frozen=True)
class Unseen:
    """Rows of one split with the scores of networks that had not learned from them."""

    rows: Rows
    features: Float32s  # of `hybrid_features`, [N, D]
    network: NDArray[np.floating]  # the network's scores, in the layout of `evaluate_task`
    weight: NDArray[np.float64]  # how much each row counts in the choice, [N]


@dataclass(frozen=True)
class TreeRows:
    """What the trees of one task are fitted on and chosen by."""

    task: Task
    train: Unseen
    valid: Unseen
    folds: NDArray[np.int64]  # of the training rows, [N]
    cardinalities: Sequence[int]
    plain: int  # columns of the features that are not the network's outputs, the first ones

    @property
    def unseen(self) -> tuple[Unseen, Unseen]:
        """The rows that choose."""
        return self.train, self.valid


@dataclass(frozen=True)
class ChosenTrees:
    """The models of a task, their share of the mixture, and the facts of the choice.

    `final` are the models that ship: with `refit` the same ones grown on the validation rows too. `mixed` is what trees
    and network say together of the unseen rows.
    """

    models: list[Boosted]
    final: list[Boosted]
    share: float
    mixed: list[NDArray[np.floating]]
    facts: dict[str, Any]


@dataclass(frozen=True)
class _Label:
    """What the trees of one label learn from: a horizon of a hazard task, or the task's only one."""

    features: Float32s  # of all training rows, [N, D]
    train: Table  # those with a label, M of N
    valid: Table
    known: NDArray[np.bool_]  # which training rows have one, [N]
    folds: NDArray[np.int64]  # theirs, [M]
    valid_weight: NDArray[np.float64]  # of the validation rows with a label
    encoding: TargetEncoding | None = None  # that the features hold already

    def reading(self, features_ND: Float32s, valid_features: Float32s) -> _Label:
        """The same rows with other features."""
        train = self.train._replace(features=features_ND[self.known])
        return replace(self, features=features_ND, train=train, valid=self.valid._replace(features=valid_features))


def choose_trees(config: TrainConfig, rows: TreeRows) -> ChosenTrees | None:
    """Fits every kind of trees and takes the kind and share with the lowest loss on the unseen rows.

    None where the labels that some of the trees would learn from do not differ.
    """
    labels = _labels(rows)
    if not all(has_choice(own.train.take(own.folds != fold)) for own in labels for fold in np.unique(rows.folds)):
        return None
    found = search(
        rows.task, [own.train for own in labels], [own.valid for own in labels], [], config.boosting, config.seed
    )
    encoded = [_encoded(rows, own) for own in labels]
    tried = []
    for seen in (labels, encoded) if all(own.encoding for own in encoded) else (labels,):
        for reads in (True, False):
            grown = [_grow(config, rows, own if reads else _blinded(rows, own), found) for own in seen]
            models = [model for model, _ in grown]
            said = in_layout(rows.task, [said for _, said in grown]), outputs(rows.task, models, rows.valid.features)
            for share in SHARES:
                mixed = [
                    mixture(rows.task, own, part.network, share) for own, part in zip(said, rows.unseen, strict=True)
                ]
                loss = unseen_loss(rows.task, rows.unseen, mixed)
                tried.append((loss, seen is encoded, reads, share, models, mixed))
    _, encodes, reads, share, models, mixed = min(tried, key=lambda own: own[0])
    facts = boosted_facts(found, models) | {"reads_network": reads, "target_encoding": encodes, "share": share}
    final = models
    if config.refit:
        final = [_grow_again(config, rows, own, found, reads, model) for own, model in zip(labels, models, strict=True)]
    return ChosenTrees(models, final, share, mixed, facts)


def _labels(rows: TreeRows) -> list[_Label]:
    train, valid = (tables(rows.task, part.rows, part.features) for part in rows.unseen)
    known, checked = ([known for known, _ in part.rows.targets(rows.task)] for part in rows.unseen)
    return [
        _Label(rows.train.features, own, check, learnt, rows.folds[learnt], rows.valid.weight[counted])
        for own, check, learnt, counted in zip(train, valid, known, checked, strict=True)
    ]


def _encoded(rows: TreeRows, label: _Label) -> _Label:
    """The label with its tokens encoded, the training rows out of fold; as it is where there is nothing to encode."""
    encoding = TargetEncoding.fit(rows.task, label.train, rows.cardinalities)
    if encoding is None:
        return label
    features_ND = extend_out_of_fold(
        rows.task, label.train, rows.cardinalities, label.folds, label.features, rows.folds
    )
    return replace(label.reading(features_ND, encoding.extend(label.valid.features)), encoding=encoding)


def _blinded(rows: TreeRows, label: _Label) -> _Label:
    """The label for trees that do not read the network."""
    return label.reading(_blind(label.features, rows), _blind(label.valid.features, rows))


def _grow(
    config: TrainConfig, rows: TreeRows, label: _Label, found: dict[str, Any]
) -> tuple[Boosted, NDArray[np.float64]]:
    """The model of one label, and what it says of every training row when grown on the other folds [N] or [N, C]."""
    model = boost(rows.task, label.train, label.valid, [], found, config.boosting, config.seed)
    if isinstance(rows.task, HazardTask) and config.weights.censoring:
        model = recalibrated(model, label.valid, label.valid_weight)
    one = replace(model, boosters=model.boosters[:1])  # all seeds take so many times as long and choose alike
    said: NDArray[np.float64] | None = None
    for fold in np.unique(rows.folds):
        others, held_out = label.train.take(label.folds != fold), rows.folds == fold
        own = grow_again(rows.task, one, others, [], found, config.boosting, config.seed)(label.features[held_out])
        said = np.empty((len(held_out), *own.shape[1:])) if said is None else said
        said[held_out] = own
    assert said is not None
    return replace(model, encoding=label.encoding), said


def _grow_again(
    config: TrainConfig, rows: TreeRows, label: _Label, found: dict[str, Any], reads: bool, model: Boosted
) -> Boosted:
    """The chosen model on training and validation rows together. The latter are a fold of their own: the network had
    not learned from them when it scored them.
    """
    whole, encoding = label.train.joined(label.valid), model.encoding
    if encoding is not None:
        encoding = TargetEncoding.fit(rows.task, whole, rows.cardinalities)
        folds = np.append(label.folds, np.full(len(label.valid.label), config.hybrid.folds))
        features_ND = extend_out_of_fold(rows.task, whole, rows.cardinalities, folds, whole.features, folds)
        whole = whole._replace(features=features_ND)
    if not reads:
        whole = whole._replace(features=_blind(whole.features, rows))
    again = grow_again(rows.task, model, whole, [], found, config.boosting, config.seed)
    return replace(again, encoding=encoding)


def _blind(features_ND: Float32s, rows: TreeRows) -> Float32s:
    """The features for trees that do not read the network, its outputs set to zero.

    Columns that do not vary are never split on, so that all kinds read the same rows.
    """
    blind_ND = features_ND.copy()
    blind_ND[:, rows.plain : rows.train.features.shape[1]] = 0
    return blind_ND


def unseen_loss(task: Task, parts: Sequence[Unseen], predictions: Sequence[NDArray[Any]]) -> float:
    """Mean over the parts of `mean_loss`; a part without labels says nothing."""
    losses = [mean_loss(task, own, part.rows, part.weight) for part, own in zip(parts, predictions, strict=True)]
    return float(np.mean([loss for loss in losses if loss is not None] or [np.inf]))


def mean_loss(task: Task, predictions: NDArray[Any], rows: Rows, weight_N: NDArray[np.float64]) -> float | None:
    """Weighted log loss of the risk, a mean over horizons, or of the classes; mean absolute error in a value's unit.

    None where no row has a label that counts.
    """
    losses = []
    for number, (known, label) in enumerate(rows.targets(task)):
        own = (predictions[:, number] if isinstance(task, HazardTask) else predictions)[known].astype(np.float64)
        weight = weight_N[known]
        if not weight.sum():
            continue
        if isinstance(task, RegressionTask):
            error = np.abs(task.inverse(own) - task.inverse(label.astype(np.float64)))
            losses.append(np.average(error, weights=weight))
        else:
            outcome = label.astype(np.int64)
            true = (
                np.where(outcome > 0, own, 1 - own) if isinstance(task, HazardTask) else own[range(len(own)), outcome]
            )
            losses.append(np.average(-np.log(np.clip(true, 1e-7, 1)), weights=weight))
    return float(np.mean(losses)) if losses else None
