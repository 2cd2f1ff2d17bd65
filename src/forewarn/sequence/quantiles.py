"""Fitted map of one numeric field onto [-1, 1] by its quantiles: robust to any scale, unit or tail."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class QuantileMap:
    """Piecewise-linear, monotone map through at most `knots` training quantiles; outside them it is flat."""

    def __init__(self, knots: NDArray[np.float64]) -> None:
        self.knots = knots
        self._levels = np.linspace(-1.0, 1.0, len(knots)) if len(knots) > 1 else np.zeros(1)

    @classmethod
    def fit(cls, values: NDArray[np.float64], knots: int) -> QuantileMap:
        """Fits on the finite `values` [N]; expects at least one."""
        quantiles = np.quantile(values[np.isfinite(values)], np.linspace(0.0, 1.0, knots))
        return cls(np.unique(quantiles))

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Maps [T] to [-1, 1]; NaN, the missing value, stays NaN."""
        mapped: NDArray[np.float32] = np.interp(values, self.knots, self._levels).astype(np.float32)
        mapped[np.isnan(values)] = np.nan
        return mapped
