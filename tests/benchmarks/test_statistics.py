from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.statistics import percentiles_ms, shorten, summarise, summarise_each

figures = st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=20)


@given(figures)
def test_the_mean_lies_between_the_extremes_and_every_repeat_is_kept(values: list[float]) -> None:
    figure = summarise(values)
    assert figure["min"] <= figure["mean"] <= figure["max"]
    assert figure["values"] == [shorten(value) for value in values]


def test_figures_are_summarised_by_name() -> None:
    figures = summarise_each([{"a": 1.0, "b": 4.0}, {"a": 3.0, "b": 4.0}])
    assert figures["a"] == {"mean": 2.0, "min": 1.0, "max": 3.0, "values": [1.0, 3.0]}
    assert figures["b"]["mean"] == 4.0


@given(st.lists(st.floats(1e-6, 100.0), min_size=1, max_size=300))
def test_percentiles_are_latencies_that_occurred_in_rising_order(latencies_s: list[float]) -> None:
    shown = percentiles_ms(latencies_s)
    assert shown["p50"] <= shown["p90"] <= shown["p99"] <= shown["max"] == shorten(1000 * max(latencies_s))
    assert {shown["p50"], shown["p99"]} <= {shorten(1000 * latency) for latency in latencies_s}
    assert shown["n"] == len(latencies_s)


def test_percentiles_of_a_hundred_latencies() -> None:
    shown = percentiles_ms([i / 1000 for i in range(1, 101)])
    assert shown["p50"] == pytest.approx(50, abs=1)
    assert shown["p90"] == pytest.approx(90, abs=1)
    assert shown["p99"] == pytest.approx(99, abs=1)
