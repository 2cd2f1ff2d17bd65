"""Row weights: recency, burn-in, and the undoing of censoring."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from forewarn.sequence import RaggedDataset, RaggedWriter
from training.labelled import NO_LABEL
from training.losses import task_loss
from training.weights import AGE, LASTED, RowWeights, WeightsConfig


def dataset(path: Path, age: list[float], lasted: list[float]) -> RaggedDataset:
    with RaggedWriter(path) as writer:
        for i, (a, d) in enumerate(zip(age, lasted, strict=True)):
            writer.add(str(i), {AGE: np.array([a], np.float32), LASTED: np.array([d], np.float32)})
    return RaggedDataset(path)


def test_weights_halve_per_half_life_and_average_one(tmp_path: Path) -> None:
    rows = dataset(tmp_path / "a", [0, 10, 20, 40], [0, 0, 0, 0])
    weights = RowWeights.fit(WeightsConfig(half_life_days=10), rows)
    weight_N = weights(np.array([0.0, 10.0, 20.0, 40.0]))
    np.testing.assert_allclose(weight_N / weight_N[0], [1, 1 / 2, 1 / 4, 1 / 16])
    assert weight_N.mean() == pytest.approx(1)


def test_padding_and_context_weigh_nothing(tmp_path: Path) -> None:
    weights = RowWeights.fit(WeightsConfig(half_life_days=10), dataset(tmp_path / "a", [0, NO_LABEL["age"]], [0, 0]))
    assert weights(torch.tensor([0.0, NO_LABEL["age"]])).tolist() == [1.0, 0.0]


def test_histories_of_the_burn_in_do_not_count(tmp_path: Path) -> None:
    rows = dataset(tmp_path / "a", [5, 50, 60], [0, 0, 0])
    weights = RowWeights.fit(WeightsConfig(burn_in_days=14), rows)
    assert weights(torch.tensor([5.0, 50.0, 60.0])).tolist() == [3.0, 0.0, 0.0]
    with pytest.raises(ValueError, match=r"weights\.burn_in_days: found 70, expected fewer days .* \(60\.0\)"):
        RowWeights.fit(WeightsConfig(burn_in_days=70), rows)


def test_censoring_weights_recover_the_outcome_rate_that_dropping_distorts(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    age, lasted = rng.uniform(0, 60, 20_000), rng.exponential(15, 20_000)
    late = lasted > 20  # the outcome: it took long
    kept = lasted < age  # those still going on at the cut have none
    rows = dataset(tmp_path / "a", age[kept].tolist(), lasted[kept].tolist())
    started = dataset(tmp_path / "b", age.tolist(), lasted.tolist())
    weight_N = RowWeights.fit(WeightsConfig(censoring=True), started).calibration(started, rows)
    assert late[kept].mean() < late.mean() - 0.05
    assert np.average(late[kept], weights=weight_N) == pytest.approx(late.mean(), abs=0.02)


def test_a_row_of_twice_the_weight_counts_twice_in_the_loss() -> None:
    raw = torch.tensor([[[2.0], [-1.0]]])
    labels = {"onset": torch.tensor([[[1], [1]]]), "at_risk": torch.ones(1, 2, 1, dtype=torch.bool)}
    alone = [
        task_loss("hazard", raw[:, i : i + 1], {k: v[:, i : i + 1] for k, v in labels.items()}, "prefix")
        for i in (0, 1)
    ]
    weighted = task_loss("hazard", raw, labels, "prefix", torch.tensor([[4 / 3, 2 / 3]]))
    torch.testing.assert_close(weighted, (2 * alone[0] + alone[1]) / 3)


@pytest.mark.parametrize("name", ["half_life_days", "burn_in_days"])
def test_negative_days_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"weights\.{name}: found -1, expected days, 0 or more"):
        WeightsConfig(**{name: -1})
