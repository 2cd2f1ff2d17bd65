"""How much each training row counts: recency, the log's first days, and censoring.

Design choices
- A log changes while it is written, so what happened shortly before the cut says more about what comes after it:
  a row's weight halves for every `half_life_days` that its history started earlier.
- The first days of many logs are a transient (a backlog closed in bulk, fields not filled in yet): rows of histories
  that started within `burn_in_days` of the first one count nothing.
- Histories still going on at the cut have no final outcome yet, so the late ones that do have one are the quick ones.
  Calibration undoes this with inverse probability of censoring weights (Robins and Finkelstein 2000,
  doi 10.1111/j.0006-341X.2000.00779.x): a history that lasted d counts 1 / P(a history started at least d before the
  cut). The ranking is better without them (docs/decisions/0010), so training does not use them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from forewarn.sequence import RaggedDataset

A = TypeVar("A")  # an array of numpy or torch
AGE, LASTED = "sample.age", "sample.lasted"  # days [T] of a row's history: from its start to the cut; to its end
_LEAST_UNCENSORED = 0.05  # bounds the weight of a history that lasted nearly as long as the log


@dataclass
class WeightsConfig:
    """How much each training row counts; the defaults count all alike."""

    half_life_days: float = 0.0  # days before the cut at which a history counts half; 0 counts old and new alike
    burn_in_days: float = 0.0  # days at the start of the log whose histories do not count
    censoring: bool = False  # calibrate with inverse probability of censoring weights, for outcomes known at the end

    def __post_init__(self) -> None:
        for name in ("half_life_days", "burn_in_days"):
            if getattr(self, name) < 0:
                raise ValueError(f"weights.{name}: found {getattr(self, name)}, expected days, 0 or more; use 0")

    @property
    def uniform(self) -> bool:
        """Whether every row counts alike in training."""
        return not self.half_life_days and not self.burn_in_days


@dataclass(frozen=True)
class RowWeights:
    """The weights of a training split: mean 1 over its rows."""

    config: WeightsConfig
    span_days: float  # age of the oldest history
    mean: float

    @classmethod
    def fit(cls, config: WeightsConfig, rows: RaggedDataset) -> RowWeights:
        """Scales the weights on the training rows; ValueError when the burn-in leaves none."""
        age_N = column(rows, AGE)
        age_N = age_N[np.isfinite(age_N)]  # the context of a window or of a case is no row
        weights = cls(config, float(age_N.max()), 1.0)
        mean = float(weights(age_N).mean())
        if not mean:
            raise ValueError(
                f"weights.burn_in_days: found {config.burn_in_days:g}, expected fewer days than the training histories "
                f"span ({weights.span_days:.1f}); lower it"
            )
        return cls(config, weights.span_days, mean)

    def __call__(self, age: Any) -> Any:
        """Weights of rows by the age of their history in days, any shape, numpy or torch."""
        counted = age <= self.span_days - self.config.burn_in_days
        if not self.config.half_life_days:
            return counted * (1.0 / self.mean)
        return counted * 0.5 ** (age / self.config.half_life_days) / self.mean

    def calibration(self, train: RaggedDataset, valid: RaggedDataset) -> NDArray[np.float64]:
        """Weights [N] of the validation rows, with those of censoring where the config asks for them."""
        age_N, lasted_N = column(valid, AGE), column(valid, LASTED)
        weight_N = np.asarray(self(age_N), np.float64)
        if not self.config.censoring:
            return weight_N
        known_M = column(train, AGE)
        known_M = known_M[np.isfinite(known_M)]
        counted_M = np.asarray(self(known_M), np.float64)
        order = np.argsort(known_M)
        younger_M = np.cumsum(counted_M[order])
        at = np.searchsorted(known_M[order], lasted_N, side="right")
        censored_N = np.where(at > 0, younger_M[np.maximum(at, 1) - 1], 0.0) / younger_M[-1]
        return weight_N / np.maximum(1.0 - censored_N, _LEAST_UNCENSORED)


def column(rows: RaggedDataset, name: str) -> NDArray[np.float32]:
    """One per-event column of a dataset file, joined over its rows."""
    return np.concatenate([rows[i][1][name] for i in range(len(rows))])
