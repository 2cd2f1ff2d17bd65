"""Figures of repeats: the mean, the extremes and the repeats themselves, because three of them make no interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

_DIGITS = 5  # significant ones, more than any repeat agrees on
PERCENTILES = (50, 90, 99)


def summarise(values: Sequence[float]) -> dict[str, float | list[float]]:
    """Mean, min, max and the values in the order of the repeats."""
    assert values, "a figure without repeats"
    return {
        "mean": shorten(float(np.mean(values))),
        "min": shorten(min(values)),
        "max": shorten(max(values)),
        "values": [shorten(value) for value in values],
    }


def summarise_each(repeats: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float | list[float]]]:
    """`summarise` per name, over repeats that all have the same names."""
    return {name: summarise([repeat[name] for repeat in repeats]) for name in repeats[0]}


def percentiles_ms(latencies_s: Sequence[float]) -> dict[str, float]:
    """p50, p90 and p99 in milliseconds, each a latency that occurred, the slowest, and `n`: how far to trust p99."""
    values = np.quantile(latencies_s, [p / 100 for p in PERCENTILES], method="higher").tolist()
    named = {f"p{p}": shorten(1000 * value) for p, value in zip(PERCENTILES, values, strict=True)}
    return {**named, "max": shorten(1000 * max(latencies_s)), "n": len(latencies_s)}


def shorten(value: float) -> float:
    """The value to five significant digits."""
    return float(f"{value:.{_DIGITS}g}")
