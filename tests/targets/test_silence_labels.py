"""Labels after a silence: the same questions, asked at a moment at which nothing new has come."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from forewarn.events import History
from forewarn.targets import HazardLabels, TargetSpec, label_history, label_silences

MINUTE = 60_000_000  # µs
ONSET = {"field": "type", "equals": "onset"}


def spec_of(horizons: list[str], *, hide: str | None = None, per: str | None = None, **more: Any) -> TargetSpec:
    task = {"name": "risk", "kind": "hazard", "onset": {"when": ONSET}, "horizons": horizons, **more}
    hidden = {"exclude_events": {"field": "type", "equals": hide}} if hide else {}
    return TargetSpec.parse({"name": "t", "tasks": [task], **hidden, **({"per": per} if per else {})})


def labels(spec: TargetSpec, history: History, minutes: list[list[float]], **observation: Any) -> HazardLabels:
    silence_TS = (np.array(minutes, np.float64) * MINUTE).astype(np.int64)
    return label_silences(spec, history, silence_TS, **observation)["risk"]


def cells(spec: TargetSpec, history: History, minutes: list[list[float]], **observation: Any) -> list[list[str]]:
    """One word per row and silence: 1 onset, 0 at risk without onset, - not at risk."""
    found = labels(spec, history, minutes, **observation)
    marks = np.where(found.at_risk, np.where(found.onset > 0, "1", "0"), "-")
    return [["".join(word) for word in row] for row in marks.tolist()]


def test_an_onset_comes_nearer_while_nothing_comes(history: Any) -> None:
    whole = history((0, "a"), (200, "onset"), (900, "b"))
    asked = [[0, 30, 90, 150], [0] * 4, [0] * 4]
    assert cells(spec_of(["1h", "2h", "ever"]), whole, asked)[0] == ["001", "001", "01-", "1--"]


def test_a_row_ends_when_the_next_visible_event_comes(history: Any) -> None:
    whole = history((0, "a"), (60, "b"), (90, "onset"))
    assert cells(spec_of(["ever"]), whole, [[59.9, 60, 61], [29, 30, 31], [0, 1, 2]]) == [
        ["1", "-", "-"], ["1", "-", "-"], ["0", "-", "-"],
    ]  # fmt: skip
    hidden = history((0, "a"), (60, "note"), (90, "onset"))
    assert cells(spec_of(["ever"], hide="note"), hidden, [[59, 61, 89], [0] * 3])[0] == ["1", "1", "1"]


def test_a_silence_that_no_row_lived_to_see_says_nothing_and_is_not_observed(history: Any) -> None:
    found = labels(spec_of(["1h", "ever"]), history((0, "a"), (60, "b")), [[61], [0]])
    assert found.observed is not None
    assert not found.at_risk[0].any() and not found.observed[0].any() and not found.onset[0].any()
    assert not found.cumulative()[1][0].any()


def test_the_last_row_lives_until_the_observation_ends_and_a_bin_counts_where_it_was_watched(
    history: Any, at: Any
) -> None:
    whole = history((0, "a"), (10, "b"))
    asked = [[0] * 5, [0, 49, 50, 110, 169]]
    open_end = {"observed_until": at(180), "complete": False}
    assert cells(spec_of(["1h", "2h"]), whole, asked, **open_end)[1] == ["00", "00", "00", "0-", "--"]
    assert cells(spec_of(["1h"]), whole, [[0], [170]], **open_end)[1] == ["-"]


def test_a_complete_history_that_is_over_cannot_be_silent(history: Any, at: Any) -> None:
    spec = spec_of(["ever"], hide="closed")
    whole = history((0, "a"), (10, "b"), (40, "closed"))
    assert cells(spec, whole, [[5, 9], [29, 31]], observed_until=at(1000)) == [["0", "0"], ["0", "-"]]


def test_a_hidden_onset_has_happened_once_its_moment_is_past(history: Any, at: Any) -> None:
    whole = history((0, "a"), (30, "onset"), (100, "onset"), (400, "b"))
    spec = spec_of(["1h", "2h"], hide="onset")
    assert cells(spec, whole, [[0, 29, 30, 39, 41, 101], [0] * 6], observed_until=at(800))[0] == [
        "1-", "1-", "01", "01", "1-", "00",
    ]  # fmt: skip


def test_the_lead_moves_with_the_moment(history: Any) -> None:
    whole = history((0, "a"), (100, "onset"), (500, "b"))
    assert cells(spec_of(["1h", "ever"], lead="15m"), whole, [[0, 30, 84, 86], [0] * 4, [0] * 4])[0] == [
        "01", "1-", "1-", "--",
    ]  # fmt: skip


def test_a_cooldown_that_a_clock_ends_may_end_in_silence(history: Any, at: Any) -> None:
    spec = spec_of(["1h"], cooldown={"for": "2h"})
    whole, going_on = history((0, "onset"), (10, "a"), (300, "onset")), {"observed_until": at(900), "complete": False}
    asked = [[0, 5, 9], [109, 110, 240], [0, 119, 120]]
    assert cells(spec, whole, asked, **going_on) == [["-", "-", "-"], ["-", "0", "1"], ["-", "-", "0"]]


def test_a_cooldown_that_an_event_ends_outlasts_any_silence_but_that_event_s(history: Any, at: Any) -> None:
    closing = {"cooldown": {"until": {"field": "type", "equals": "closed"}}}
    whole = history((0, "onset"), (60, "closed"), (300, "a"))
    assert cells(spec_of(["1h"], **closing), whole, [[59], [10], [0]], observed_until=at(900)) == [["-"], ["0"], ["0"]]
    unseen = spec_of(["1h"], hide="closed", **closing)
    assert cells(unseen, whole, [[0, 59, 60, 61], [0] * 4], observed_until=at(900))[0] == ["-", "-", "0", "0"]


def test_horizons_in_events_do_not_change_while_no_event_comes(history: Any) -> None:
    whole = history((0, "a"), (60, "b"), (120, "onset"))
    assert cells(spec_of(["1 event", "ever"]), whole, [[0, 59], [0, 59], [0, 0]]) == [
        ["01", "01"], ["1-", "1-"], ["00", "00"],
    ]  # fmt: skip


def test_a_case_is_silent_until_the_customer_s_next_event_of_any_case(history: Any, at: Any) -> None:
    spec = spec_of(["ever"], per="case_id")
    one, two = {"case_id": "1"}, {"case_id": "2"}
    whole = history((0, "a", one), (10, "b", two), (20, "b", two), (50, "onset", one))
    asked = [[5, 15], [5, 15], [5, 25], [0, 5]]
    # Case 2 is over with its last event, so nobody asks about it afterwards.
    assert cells(spec, whole, asked, observed_until=at(99)) == [["1", "-"], ["0", "-"], ["-", "-"], ["0", "-"]]


stories = st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["a", "b", "onset"])), min_size=1, max_size=9)


@settings(max_examples=200, deadline=None)
@given(
    story=stories,
    row=st.integers(0, 8),
    late=st.integers(1, 5 * 60),
    lead=st.integers(0, 3),
    rest=st.none() | st.integers(1, 8) | st.just("b"),
    seen=st.integers(0, 40),
    complete=st.booleans(),
    hide=st.none() | st.sampled_from(["b", "onset"]),
)
def test_a_silence_is_labelled_as_an_empty_event_at_that_moment_would_be(
    history: Any, at: Any, story: Any, row: int, late: int, lead: int, rest: Any, seen: int, complete: bool, hide: Any
) -> None:
    minutes = np.cumsum([60 * gap for gap, _ in story]).tolist()
    told = [(minute, kind) for minute, (_, kind) in zip(minutes, story, strict=True)]
    cooldown = {"until": {"field": "type", "equals": rest}} if rest == "b" else {"for": f"{rest}h"}
    spec = spec_of(["2h", "6h", "ever"], lead=f"{lead}h", hide=hide, **({} if rest is None else {"cooldown": cooldown}))
    whole, observation = history(*told), {"observed_until": at(60 * seen), "complete": complete}
    visible = spec.visible(whole, at(60 * seen)).events
    if row >= len(visible):
        return
    silence_TS = np.zeros((len(visible), 1), np.int64)
    silence_TS[row] = late * MINUTE
    found = label_silences(spec, whole, silence_TS, **observation)["risk"]
    moment = visible[row].ingested_at + timedelta(minutes=late)
    following = [event.ingested_at for event in spec.visible(whole).events[row + 1 :]]
    over = [whole.events[-1].ingested_at] if complete else []
    if moment >= min([*following, *over, at(60 * seen)]):
        assert not found.at_risk[row].any()
        return
    # The tick comes behind all events of its own moment.
    start = at(0)
    ticked = sorted([*told, ((moment - start) / timedelta(minutes=1), "tick")], key=lambda event: event[0])
    by_tick = label_history(spec, history(*ticked), **observation)["risk"]
    assert isinstance(by_tick, HazardLabels) and by_tick.observed is not None and found.observed is not None
    for part, own in (
        (found.onset, by_tick.onset),
        (found.at_risk, by_tick.at_risk),
        (found.observed, by_tick.observed),
    ):
        np.testing.assert_array_equal(part[row, 0], own[row + 1])


def test_without_silence_labels_are_those_of_the_events(history: Any, at: Any) -> None:
    spec = spec_of(["1h", "ever"], lead="5m", cooldown={"for": "1h"}, hide="b")
    whole = history((0, "a"), (0, "onset"), (0, "a"), (30, "b"), (70, "a"), (100, "onset"), (160, "a"))
    known = label_history(spec, whole, observed_until=at(200))["risk"]
    found = labels(spec, whole, [[0]] * 6, observed_until=at(200))
    assert isinstance(known, HazardLabels) and known.observed is not None and found.observed is not None
    np.testing.assert_array_equal(found.onset[:, 0], known.onset)
    np.testing.assert_array_equal(found.at_risk[:, 0], known.at_risk)
    np.testing.assert_array_equal(found.observed[:, 0], known.observed)
