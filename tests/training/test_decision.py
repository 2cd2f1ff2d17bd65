"""The balanced choice: rare classes are named where macro-F1 gains by it, and probabilities stay what they are."""

from __future__ import annotations

import numpy as np

from training.decision import balanced_weights
from training.metrics import class_measures


def rare_and_common(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of which one class in eight is rare, and honest probabilities that seldom put it first."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=rows)
    rare = 1 / (1 + np.exp(-(1.2 * signal - 2.5)))
    label = (rng.uniform(size=rows) < rare).astype(np.int64)
    return np.stack([1 - rare, rare], axis=1), label


def measured(probability: np.ndarray, label: np.ndarray, weights: list[float]) -> dict[str, float]:
    every = np.ones((1, len(label)))
    return {name: float(own[0]) for name, own in class_measures(probability, label, weights)(every).items()}


def test_weights_found_on_some_rows_name_the_rare_class_on_others() -> None:
    weights = balanced_weights(*rare_and_common(3_000, 0))
    assert weights[0] == 1 and weights[1] > 1.5
    found = measured(*rare_and_common(3_000, 1), weights)
    assert found["macro_f1_balanced"] > found["macro_f1"] + 0.05
    assert found["log_loss"] == measured(*rare_and_common(3_000, 1), [1, 1])["log_loss"]


def test_where_classes_are_alike_the_likeliest_is_named() -> None:
    rng = np.random.default_rng(2)
    probability = rng.dirichlet([1, 1, 1], 2_000)
    label = np.array([rng.choice(3, p=row) for row in probability])
    weights = balanced_weights(probability, label)
    assert max(weights) < 1.1
    assert balanced_weights(probability[:0], label[:0]) == [1, 1, 1]


def test_without_weights_there_is_no_balanced_choice_to_measure() -> None:
    probability, label = rare_and_common(100, 3)
    assert "macro_f1_balanced" not in class_measures(probability, label)(np.ones((1, 100)))
