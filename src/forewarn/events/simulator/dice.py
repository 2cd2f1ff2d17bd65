"""Random draws for code that branches on every one: a seeded numpy generator, read in blocks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")
_BLOCK = 512  # one numpy call costs as much as fifty draws from a list


class Dice:
    """Draws that depend on nothing but the key."""

    def __init__(self, *key: int) -> None:
        self._generator = np.random.default_rng(key)
        self._block: list[float] = []

    def uniform(self) -> float:
        """A number in [0, 1)."""
        if not self._block:
            self._block = self._generator.random(_BLOCK).tolist()
        return self._block.pop()

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return self.uniform() < probability

    def pick(self, options: Sequence[T]) -> T:
        """One of the options, all equally likely."""
        return options[int(self.uniform() * len(options))]

    def exponential(self, mean: float) -> float:
        """A waiting time with this mean."""
        return -mean * math.log1p(-self.uniform())

    def normal(self) -> float:
        """A standard normal number (Box-Muller)."""
        return math.sqrt(-2 * math.log1p(-self.uniform())) * math.cos(2 * math.pi * self.uniform())

    def lognormal(self, median: float, sigma: float) -> float:
        """A positive number with this median, sigma being the deviation of its logarithm."""
        return median * math.exp(sigma * self.normal())
