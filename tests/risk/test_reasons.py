"""Reasons: the events that raised the risk when they became known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forewarn.risk import contributions, reasons

paths = st.lists(st.floats(1e-5, 1 - 1e-5), min_size=1, max_size=40)


def log_odds(risk: float) -> float:
    return float(np.log(risk / (1 - risk)))


@given(paths)
def test_contributions_add_up_to_the_way_from_the_first_risk_to_the_last(path: list[float]) -> None:
    assert contributions(np.array(path)).sum() == pytest.approx(log_odds(path[-1]) - log_odds(path[0]), abs=1e-9)


@given(paths, st.integers(1, 5))
def test_reasons_are_the_largest_rises_in_order(path: list[float], top: int) -> None:
    rise = dict(zip(map(str, range(len(path))), contributions(np.array(path)).tolist(), strict=True))
    found = reasons(list(rise), np.array(path), top)
    assert [reason.contribution for reason in found] == sorted((r for r in rise.values() if r > 0), reverse=True)[:top]
    assert all(rise[reason.event_id] == reason.contribution for reason in found)


def test_a_first_event_and_a_falling_risk_have_no_reasons() -> None:
    assert reasons(["a"], np.array([0.9])) == []
    assert reasons(["a", "b", "c"], np.array([0.9, 0.5, 0.1])) == []


def test_certainty_has_finite_reasons() -> None:
    (reason,) = reasons(["a", "b"], np.array([0.0, 1.0], dtype=np.float32))
    assert reason.event_id == "b" and np.isfinite(reason.contribution)
