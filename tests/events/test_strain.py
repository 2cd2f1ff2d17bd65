"""The closed forms of the simulator's hazard against numerical integration."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forewarn.events.simulator.strain import FADING_HOURS, POWER, Strain

levels = st.floats(0.1, 6.0)
spells = st.floats(0.01, 400.0)
growths = st.sampled_from([0.0, 0.001, 0.03, 0.5])


def level_at(level: float, hours: float, growth: float) -> float:
    return level + growth * hours if growth else level * math.exp(-hours / FADING_HOURS)


@given(levels, spells, growths)
def test_the_hazard_spent_is_the_integral_of_the_documented_hazard(level: float, hours: float, growth: float) -> None:
    strain = Strain(1e-4, level, limit=math.inf)
    assert strain.pass_time(hours, growth) is None
    steps = 2_000
    middle = (level_at(level, (step + 0.5) * hours / steps, growth) for step in range(steps))
    assert strain.spent == pytest.approx(sum(1e-4 * s**POWER for s in middle) * hours / steps, rel=1e-4)
    assert strain.level == pytest.approx(level_at(level, hours, growth))


@given(levels, spells, growths, st.floats(0.001, 0.999))
def test_an_onset_falls_where_the_integral_reaches_the_limit(
    level: float, hours: float, growth: float, share: float
) -> None:
    whole = Strain(1e-4, level, limit=math.inf)
    whole.pass_time(hours, growth)
    strain = Strain(1e-4, level, limit=share * whole.spent)
    until = strain.pass_time(hours, growth)
    assert until is not None
    assert 0 <= until <= hours
    up_to = Strain(1e-4, level, limit=math.inf)
    up_to.pass_time(until, growth)
    assert up_to.spent == pytest.approx(share * whole.spent, rel=1e-6)
