from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forewarn.targets.horizon import FOREVER, SECOND, parse_duration, parse_horizons


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("15 min", 900), ("4h", 14_400), ("1.5h", 5_400), ("3d", 259_200), ("2w", 1_209_600)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_duration(text, "purge") == seconds * SECOND


@given(st.integers(0, 10_000), st.sampled_from([("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400), ("w", 604_800)]))
def test_durations_are_exact(number: int, unit: tuple[str, int]) -> None:
    assert parse_duration(f"{number}{unit[0]}", "purge") == number * unit[1] * SECOND


def test_horizons_in_time_become_bins_after_the_lead() -> None:
    horizons = parse_horizons(["1h", "1d", "ever"], "15m", "horizons", "lead")
    assert horizons.clock
    assert horizons.edges.tolist() == [900 * SECOND, 4_500 * SECOND, 87_300 * SECOND, FOREVER]


def test_horizons_may_count_events() -> None:
    horizons = parse_horizons(["1 event", "3 events", "ever"], "1 event", "horizons", "lead")
    assert not horizons.clock
    assert horizons.edges.tolist() == [1, 2, 4, FOREVER]


def test_ever_alone_takes_the_unit_of_its_lead() -> None:
    assert parse_horizons(["ever"], None, "horizons", "lead").clock
    assert not parse_horizons(["ever"], "2 events", "horizons", "lead").clock


@pytest.mark.parametrize(
    ("names", "lead", "told"),
    [
        ([], None, "horizons: .* expected at least one horizon"),
        (["4x"], None, r"horizons\[0\]: found '4x', expected a time such as 4h"),
        (["1d", "1h"], None, r"horizons\[1\]: found '1h', expected a longer horizon"),
        (["ever", "1h"], None, r"horizons\[1\]: .* 'ever' last"),
        (["1h", "1h"], None, r"horizons\[1\]: .* longer"),
        (["1h", "3 events"], None, r"horizons\[1\]: .* expected the same unit"),
        (["1 event"], "15m", "lead: found '15m', expected the same unit as the horizons"),
        (["0h"], None, r"horizons\[0\]: .* longer"),
        ([3], None, r"horizons\[0\]: found 3, expected a time"),
        (["1h"], "soon", "lead: found 'soon'"),
    ],
)
def test_horizons_that_make_no_bins_are_refused(names: list[Any], lead: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_horizons(names, lead, "horizons", "lead")
