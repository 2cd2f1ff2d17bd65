"""Which trees stand behind the network: read it or not, tokens encoded or not, and how much they count against it.

Trees that read the network's outputs, out of fold for the training rows, learn where to trust it; trees that do not err
independently of it. Which is better, with or without target encoding and at which share of the mixture, differs by log
and question, so all are fitted and the validation loss decides. The parameters are searched once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forewarn.targets import HazardTask, RegressionTask, Task
from training.aggregates import Float32s, Rows
from training.boosting import Boosted, boost, boosted_facts, grow_again, outputs, recalibrated, search
from training.config import TrainConfig
from training.mixture import SHARES, mixture
from training.table import Table, tables
from training.target_encoding import TargetEncoding, extend_out_of_fold


@dataclass(frozen=True)
class TreeRows:
    """What the trees of one task are fitted on and chosen by."""

    task: Task
    train: list[Table]  # one per horizon of a hazard task, else one
    folds: list[NDArray[np.int64]]  # of each table's rows
    valid: Rows
    features: Float32s  # of the validation rows, [N, D]
    network: NDArray[np.floating]  # the network's scores of the validation rows
    weight: NDArray[np.float64]  # how much each validation row counts, [N]
    cardinalities: Sequence[int]
    plain: int  # columns of the features that are not the network's outputs, the first ones


@dataclass(frozen=True)
class ChosenTrees:
    """The models of a task, their share of the mixture, and the facts of the choice.

    `final` are the models that ship: with `refit` the same ones grown on the validation rows too.
    """

    models: list[Boosted]
    final: list[Boosted]
    share: float
    facts: dict[str, Any]


def choose_trees(config: TrainConfig, rows: TreeRows) -> ChosenTrees:
    """Fits every kind of trees and takes the kind and share with the lowest validation loss."""
    checks = tables(rows.task, rows.valid, rows.features)
    found = search(rows.task, rows.train, checks, [], config.boosting, config.seed)
    tried = []
    for reads, encodes, models in _kinds(config, rows, checks, found):
        trees = outputs(rows.task, models, rows.features)
        for share in SHARES:
            mixed = mixture(rows.task, trees, rows.network, share)
            loss = validation_loss(rows.task, mixed, rows.valid, rows.weight)
            tried.append((loss, reads, encodes, share, models))
    _, reads, encodes, share, models = min(tried, key=lambda own: own[0])
    facts = boosted_facts(found, models) | {"reads_network": reads, "target_encoding": encodes, "share": share}
    final = _grown_again(config, rows, checks, found, reads, models) if config.refit else models
    return ChosenTrees(models, final, share, facts)


def _kinds(
    config: TrainConfig, rows: TreeRows, checks: Sequence[Table], found: dict[str, Any]
) -> Iterator[tuple[bool, bool, list[Boosted]]]:
    """Whether they read the network, whether tokens are encoded, and the models; `checks` are the validation rows."""
    plain: list[TargetEncoding | None] = [None] * len(rows.train)
    fitted = [TargetEncoding.fit(rows.task, table, rows.cardinalities) for table in rows.train]
    for encodings in (plain, fitted) if all(fitted) else (plain,):
        pairs = [
            (table, check) if encoding is None else (_encoded(rows, table, fold), _extended(check, encoding))
            for table, fold, check, encoding in zip(rows.train, rows.folds, checks, encodings, strict=True)
        ]
        for reads in (True, False):
            models = []
            for pair, encoding in zip(pairs, encodings, strict=True):
                own, later = (_read(part, rows, reads) for part in pair)
                model = boost(rows.task, own, later, [], found, config.boosting, config.seed)
                models.append(replace(model, encoding=encoding))
            yield reads, encodings is fitted, _calibrated(config, rows, models, checks)


def _grown_again(
    config: TrainConfig, rows: TreeRows, checks: Sequence[Table], found: dict[str, Any], reads: bool,
    models: Sequence[Boosted],
) -> list[Boosted]:  # fmt: skip
    """The chosen models on training and validation rows together. The latter are a fold of their own: the network had
    not learned from them when it scored them.
    """
    grown = []
    for model, table, fold, check in zip(models, rows.train, rows.folds, checks, strict=True):
        whole, encoding = table.joined(check), model.encoding
        if encoding is not None:
            encoding = TargetEncoding.fit(rows.task, whole, rows.cardinalities)
            whole = _encoded(rows, whole, np.append(fold, np.full(len(check.label), config.hybrid.folds)))
        again = grow_again(rows.task, model, _read(whole, rows, reads), [], found, config.boosting, config.seed)
        grown.append(replace(again, encoding=encoding))
    return grown


def _encoded(rows: TreeRows, table: Table, fold: NDArray[np.int64]) -> Table:
    """Rows that trees are fitted on, encoded out of fold."""
    return table._replace(features=extend_out_of_fold(rows.task, table, rows.cardinalities, fold))


def _extended(table: Table, encoding: TargetEncoding) -> Table:
    return table._replace(features=encoding.extend(table.features))


def _read(table: Table, rows: TreeRows, reads: bool) -> Table:
    """Rows as trees read them that read the network, or not."""
    if reads:
        return table
    # Columns that do not vary are never split on, so that all kinds read the same rows.
    features_ND = table.features.copy()
    features_ND[:, rows.plain : rows.features.shape[1]] = 0
    return table._replace(features=features_ND)


def _calibrated(config: TrainConfig, rows: TreeRows, models: list[Boosted], checks: Sequence[Table]) -> list[Boosted]:
    if not (isinstance(rows.task, HazardTask) and config.weights.censoring):
        return models
    known = [known for known, _ in rows.valid.targets(rows.task)]
    return [
        recalibrated(model, table, rows.weight[own]) for model, table, own in zip(models, checks, known, strict=True)
    ]


def validation_loss(task: Task, predictions: NDArray[Any], rows: Rows, weight_N: NDArray[np.float64]) -> float:
    """Weighted log loss of the risk, a mean over horizons, or of the classes; mean absolute error in a value's unit."""
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
    return float(np.mean(losses)) if losses else float("inf")
