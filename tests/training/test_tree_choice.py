"""The choice of trees: by rows that neither trees nor networks had learned from, of training and validation alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forewarn.sequence import EncodedHistory
from forewarn.targets import HazardLabels, TargetSpec
from training.aggregates import Rows
from training.boosting import outputs
from training.config import BoostingConfig, TrainConfig
from training.tree_choice import TreeRows, Unseen, choose_trees, mean_loss, unseen_loss

ONSET = {"name": "x", "kind": "hazard", "onset": {"when": {"field": "type", "equals": "x"}}, "horizons": ["1d", "7d"]}
TASK = TargetSpec.parse({"name": "t", "tasks": [ONSET]}).task("x")
FOLDS, WIDE, PLAIN = 3, 20, 3
CONFIG = TrainConfig(run="unused", boosting=BoostingConfig(candidates=1, seeds=1, threads=1), refit=True)


def unseen(ever: np.ndarray, seed: int, signal: float) -> Unseen:
    """Rows whose outcome a number and the network tell with `signal` and noise, and of which a token tells nothing."""
    rng = np.random.default_rng(seed)
    size = len(ever)
    early = ever & (rng.uniform(size=size) < 0.5)
    onset = np.stack([early, ever & ~early], axis=1)
    labels = HazardLabels(onset.astype(np.int8), np.stack([np.ones(size, bool), ~early], axis=1))
    logit = signal * (2.0 * ever - 1) + rng.normal(size=size)
    number = signal * (2.0 * ever - 1) + rng.normal(size=size)
    token = rng.integers(0, WIDE, size)
    features = np.stack([token, np.zeros(size), number, logit], axis=1).astype(np.float32)
    history = EncodedHistory(
        "h", tuple(map(str, range(size))), np.zeros((size, 1), np.int32), np.zeros((size, 1), np.float32),
        np.arange(size, dtype=np.float32), np.zeros(size, np.int32), np.zeros((0, 0), np.float32),
    )  # fmt: skip
    risk = np.repeat(1 / (1 + np.exp(-logit))[:, None], 2, axis=1)
    return Unseen(Rows([history], [labels]), features, risk, np.ones(size))


def outcomes(size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(size=size) < 0.4


def rows(train: Unseen, valid: Unseen) -> TreeRows:
    size = len(train.weight)
    return TreeRows(TASK, train, valid, np.arange(size) % FOLDS, [WIDE], PLAIN)


def loss(part: Unseen, risk: np.ndarray) -> float:
    found = mean_loss(TASK, risk, part.rows, part.weight)
    assert found is not None
    return found


def test_training_rows_are_judged_by_trees_that_never_saw_them() -> None:
    """Of noise, trees know the rows that they have learned from and nothing of others."""
    train = unseen(outcomes(600, 0), 1, signal=0.0)
    silent = unseen(np.zeros(100, bool), 2, signal=0.0)  # cannot stop the trees, so that they learn the noise
    chosen = choose_trees(replace(CONFIG, refit=False), rows(train, silent))
    assert chosen is not None
    prior = np.repeat([[0.2, 0.4]], 600, axis=0)
    learned = outputs(TASK, chosen.models, train.features)
    assert loss(train, learned) < loss(train, prior) - 0.05
    assert loss(train, chosen.mixed[0]) > loss(train, prior)


def test_the_kind_with_the_lowest_loss_on_unseen_rows_is_chosen() -> None:
    own = rows(unseen(outcomes(900, 3), 4, signal=1.0), unseen(outcomes(300, 5), 6, signal=1.0))
    chosen = choose_trees(CONFIG, own)
    assert chosen is not None
    assert chosen.facts["reads_network"] or chosen.share < 1, "number and network know more together than each alone"
    together = unseen_loss(TASK, own.unseen, chosen.mixed)
    assert together < unseen_loss(TASK, own.unseen, [part.network for part in own.unseen]) - 0.05
    assert [model.trees for model in chosen.final] == [model.trees for model in chosen.models]
    assert chosen.final[0].boosters[0].model_to_string() != chosen.models[0].boosters[0].model_to_string()


def test_each_split_has_half_the_say_and_one_without_labels_none() -> None:
    large, small = (unseen(outcomes(size, size), 7, signal=1.0) for size in (400, 50))
    both = unseen_loss(TASK, [large, small], [large.network, small.network])
    assert both == pytest.approx((loss(large, large.network) + loss(small, small.network)) / 2)
    nothing = replace(small, weight=np.zeros(50))
    assert unseen_loss(TASK, [large, nothing], [large.network, small.network]) == loss(large, large.network)


def test_onsets_of_one_fold_alone_teach_no_trees() -> None:
    ever = outcomes(300, 8) & (np.arange(300) % FOLDS == 0)
    assert choose_trees(CONFIG, rows(unseen(ever, 9, 1.0), unseen(outcomes(100, 10), 11, 1.0))) is None
