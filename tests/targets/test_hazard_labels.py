"""Hazard labels against their definition, first by example, then by a slow and plain second implementation."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forewarn.events import History
from forewarn.targets import HazardLabels, TargetSpec, label_history, next_onset

ONSET = {"field": "type", "equals": "onset"}


def spec_of(horizons: list[str], *, at: str = "first", hide: str | None = None, **task: Any) -> TargetSpec:
    hazard = {"name": "risk", "kind": "hazard", "onset": {"when": ONSET, "at": at}, "horizons": horizons, **task}
    hidden = {"exclude_events": {"field": "type", "equals": hide}} if hide else {}
    return TargetSpec.parse({"name": "t", "tasks": [hazard], **hidden})


def labels(spec: TargetSpec, history: History, **observation: Any) -> HazardLabels:
    found = label_history(spec, history, **observation)["risk"]
    assert isinstance(found, HazardLabels)
    return found


def cells(found: HazardLabels) -> list[str]:
    """One word per row: 1 onset, 0 at risk without onset, - not at risk."""
    marks = np.where(found.at_risk, np.where(found.onset > 0, "1", "0"), "-")
    return ["".join(row) for row in marks.tolist()]


def test_an_onset_falls_into_the_one_bin_that_holds_its_time(history: Any) -> None:
    whole = history((0, "a"), (30, "b"), (90, "onset"), (200, "c"))
    assert cells(labels(spec_of(["1h", "2h", "ever"]), whole)) == ["01-", "1--", "000", "000"]


def test_a_bin_holds_its_end_and_not_its_beginning(history: Any) -> None:
    whole = history((0, "a"), (60, "onset"))
    assert cells(labels(spec_of(["1h", "2h"]), whole))[0] == "1-"
    assert cells(labels(spec_of(["59m", "60m"]), whole))[0] == "01"


def test_horizons_may_count_events(history: Any) -> None:
    whole = history((0, "a"), (0, "b"), (0, "c"), (0, "onset"))
    assert cells(labels(spec_of(["1 event", "2 events", "ever"]), whole)) == ["001", "01-", "1--", "000"]


def test_ever_of_the_last_event_of_a_complete_history_is_an_observed_zero(history: Any) -> None:
    assert cells(labels(spec_of(["ever"]), history((0, "a"), (1, "onset"), (2, "b")))) == ["1", "0", "0"]


def test_the_onset_ahead_of_a_row_is_numbered_and_its_distance_told(history: Any) -> None:
    whole = history((0, "a"), (30, "onset"), (40, "b"), (50, "hidden"), (90, "onset"), (95, "c"))
    spec = spec_of(["1h"], hide="hidden")
    ahead = next_onset(spec, spec.tasks[0], whole)  # type: ignore[arg-type]
    assert ahead.number.tolist() == [0, 1, 1, -1, -1]
    assert (ahead.span / 60_000_000).tolist()[:3] == [30, 60, 50] and ahead.events.tolist()[:3] == [1, 2, 1]
    final = spec_of(["ever"], at="last", hide="onset")
    ended = next_onset(final, final.tasks[0], history((0, "a"), (5, "b"), (9, "onset")))  # type: ignore[arg-type]
    assert ended.number.tolist() == [0, 0] and ended.events.tolist() == [2, 1]


def test_any_later_increase_is_an_onset(history: Any) -> None:
    spec = TargetSpec.load("reassignment")
    whole = history(*((i, "ticket.field", {"reassignment_count": n}) for i, n in enumerate([0, 0, 1, 1, 2, 2])))
    found = label_history(spec, whole)["reassignment"]
    assert isinstance(found, HazardLabels)
    assert found.onset[:, 0].tolist() == [1, 1, 1, 1, 0, 0]
    assert found.at_risk.all()


def test_an_onset_at_the_same_instant_but_later_in_the_history_lies_ahead(history: Any) -> None:
    assert cells(labels(spec_of(["1h", "ever"]), history((0, "a"), (0, "onset"), (0, "b")))) == ["1-", "00", "00"]


def test_a_final_outcome_labels_every_row_and_the_last_event_too(history: Any) -> None:
    spec = spec_of(["ever"], at="last")
    assert cells(labels(spec, history((0, "a"), (1, "b"), (2, "onset")))) == ["1", "1", "1"]
    assert cells(labels(spec, history((0, "onset"), (1, "b")))) == ["0", "0"]


def test_a_final_outcome_may_stand_on_an_event_the_model_never_sees(history: Any) -> None:
    spec = spec_of(["ever"], at="last", hide="onset")
    assert cells(labels(spec, history((0, "a"), (1, "b"), (2, "onset")))) == ["1", "1"]


def test_a_hidden_onset_comes_right_after_the_last_visible_event(history: Any) -> None:
    spec = spec_of(["1 event", "2 events", "ever"], hide="onset")
    assert cells(labels(spec, history((0, "a"), (1, "b"), (2, "onset"), (3, "c")))) == ["01-", "1--", "000"]


def test_observation_points_may_be_limited_to_chosen_events(history: Any) -> None:
    spec = spec_of(["ever"], only_when={"field": "actor", "equals": "customer"})
    whole = history((0, "a", {"actor": "customer"}), (1, "b", {"actor": "bot"}), (2, "onset", {"actor": "customer"}))
    assert cells(labels(spec, whole)) == ["1", "-", "0"]


def test_an_onset_within_the_lead_masks_the_row(history: Any) -> None:
    whole = history((0, "a"), (50, "b"), (60, "onset"), (70, "c"))
    assert cells(labels(spec_of(["1h", "ever"], lead="15m"), whole)) == ["1-", "--", "00", "00"]
    events = history((0, "a"), (1, "b"), (2, "c"), (3, "onset"))
    assert cells(labels(spec_of(["1 event", "ever"], lead="1 event"), events)) == ["01", "1-", "--", "00"]


def test_between_onset_and_its_closure_nothing_is_observed_and_nothing_begins(history: Any) -> None:
    spec = spec_of(["1h", "ever"], cooldown={"until": {"field": "type", "equals": "closed"}})
    whole = history((0, "a"), (30, "onset"), (40, "b"), (50, "onset"), (60, "closed"), (70, "c"), (200, "onset"))
    assert cells(labels(spec, whole)) == ["1-", "--", "--", "--", "01", "01", "--"]


def test_a_cooldown_that_never_closes_lasts_to_the_end(history: Any) -> None:
    spec = spec_of(["ever"], cooldown={"until": {"field": "type", "equals": "closed"}})
    assert cells(labels(spec, history((0, "a"), (1, "onset"), (2, "b"), (3, "onset")))) == ["1", "-", "-", "-"]


def test_a_cooldown_may_last_a_time_or_for_ever(history: Any) -> None:
    whole = history((0, "a"), (10, "onset"), (69, "onset"), (70, "b"), (80, "onset"))
    assert cells(labels(spec_of(["ever"], cooldown={"for": "1h"}), whole)) == ["1", "-", "-", "1", "-"]
    assert cells(labels(spec_of(["ever"], cooldown={"for": "ever"}), whole)) == ["1", "-", "-", "-", "-"]


def test_a_bin_that_ends_after_the_observation_is_masked_whatever_happened_in_it(history: Any, at: Any) -> None:
    spec = spec_of(["1h", "3h", "ever"])
    quiet = history((0, "a"), (100, "b"), (1000, "z"))
    stormy = history((0, "a"), (100, "b"), (110, "onset"), (1000, "z"))
    assert cells(labels(spec, quiet, observed_until=at(170))) == ["0--", "0--"]
    assert cells(labels(spec, stormy, observed_until=at(170)))[:2] == ["0--", "1--"]


def test_an_open_history_is_observed_until_its_last_event_unless_told_otherwise(history: Any, at: Any) -> None:
    spec, whole = spec_of(["1h", "2h"]), history((0, "a"), (70, "b"))
    assert cells(labels(spec, whole, complete=False)) == ["0-", "--"]
    assert cells(labels(spec, whole, complete=False, observed_until=at(150))) == ["00", "0-"]
    assert cells(labels(spec, whole)) == ["00", "00"]


def test_a_final_outcome_is_unknown_before_the_history_is_over(history: Any, at: Any) -> None:
    whole = history((0, "a"), (1, "b"), (9, "onset"))
    assert cells(labels(spec_of(["ever"], at="last"), whole, observed_until=at(8))) == ["-", "-"]
    assert cells(labels(spec_of(["ever"], at="last"), whole, complete=False)) == ["-", "-", "-"]


def test_a_history_without_visible_event_has_no_rows(history: Any) -> None:
    found = labels(spec_of(["1h", "ever"], hide="a"), history((0, "a")))
    assert found.onset.shape == found.at_risk.shape == (0, 2)


def test_cumulative_labels_are_known_from_an_onset_or_from_observed_bins() -> None:
    found = HazardLabels(
        np.array([[0, 1, 0], [0, 0, 0], [0, 0, 0]], np.int8),
        np.array([[1, 1, 0], [1, 1, 0], [0, 0, 0]], bool),
    )
    within, known = found.cumulative()
    assert within.tolist() == [[0, 1, 1], [0, 0, 0], [0, 0, 0]]
    assert known.tolist() == [[True, True, True], [True, True, False], [False, False, False]]


def test_an_onset_in_a_horizon_that_was_not_watched_to_its_end_is_not_counted(history: Any, at: Any) -> None:
    stormy = history((0, "a"), (30, "onset"), (1000, "z"))
    within, known = labels(spec_of(["1h", "3h"]), stormy, observed_until=at(100)).cumulative()
    assert (within[0].tolist(), known[0].tolist()) == ([1, 0], [True, False])


def test_the_rate_within_a_horizon_is_the_same_at_the_end_of_the_data(history: Any, at: Any) -> None:
    # One onset an hour after each start, one start a minute: every fully watched row is positive within two hours.
    rates = []
    for minute in range(0, 200):
        whole = history((minute, "a"), (minute + 60, "onset"), (minute + 61, "closed"))
        quiet = history((minute, "a"), (minute + 61, "closed"))
        for one in (whole, quiet):
            within, known = labels(spec_of(["2h"]), one, observed_until=at(200), complete=False).cumulative()
            rates += within[0][known[0]].tolist()
    assert len(rates) == 2 * 81
    assert np.mean(rates) == 0.5


# The second implementation: one row and one bin at a time, on datetimes.


def by_definition(
    whole: History, hours: list[int], lead: int, rest: int | None, until: Any, complete: bool
) -> list[str]:
    events = whole.events
    closed = complete and events[-1].ingested_at <= until
    onsets: list[int] = []
    resting: set[int] = set()
    for i, event in enumerate(events):
        if event.type != "onset" or i in resting or event.ingested_at > until:
            continue
        onsets.append(i)
        if rest is not None:
            end = event.ingested_at + timedelta(hours=rest)
            resting |= {j for j in range(i, len(events)) if events[j].ingested_at < end}
    rows = []
    for i, event in enumerate(events):
        if event.ingested_at > until:
            continue
        ahead = next((events[j].ingested_at - event.ingested_at for j in onsets if j > i), None)
        if ahead is not None:
            ahead = max(ahead, timedelta(microseconds=1))
        begin, row, over = timedelta(hours=lead), "", i in resting
        over = over or (ahead is not None and ahead <= begin)
        for hour in [*hours, None]:
            end = None if hour is None else timedelta(hours=lead + hour)
            seen = closed if end is None else event.ingested_at + end <= until
            over = over or not seen
            if over:
                row += "-"
                continue
            hit = ahead is not None and ahead > begin and (end is None or ahead <= end)
            row += "1" if hit else "0"
            over = hit
            begin = end if end is not None else begin
        rows.append(row)
    return rows


stories = st.lists(st.tuples(st.integers(0, 6), st.sampled_from(["a", "b", "onset"])), min_size=1, max_size=9)


def written(history: Any, story: list[tuple[int, str]]) -> History:
    minutes = np.cumsum([60 * gap for gap, _ in story]).tolist()
    return history(*((minute, kind) for minute, (_, kind) in zip(minutes, story, strict=True)))


@settings(max_examples=300, deadline=None)
@given(
    story=stories,
    hours=st.lists(st.integers(1, 12), min_size=1, max_size=3, unique=True).map(sorted),
    lead=st.integers(0, 3),
    rest=st.none() | st.integers(1, 8),
    seen=st.integers(0, 40),
    complete=st.booleans(),
)
def test_labels_equal_their_definition(
    history: Any, at: Any, story: Any, hours: list[int], lead: int, rest: int | None, seen: int, complete: bool
) -> None:
    whole = written(history, story)
    cooldown = {} if rest is None else {"cooldown": {"for": f"{rest}h"}}
    spec = spec_of([*(f"{hour}h" for hour in hours), "ever"], lead=f"{lead}h", **cooldown)
    found = labels(spec, whole, observed_until=at(60 * seen), complete=complete)
    assert cells(found) == by_definition(whole, hours, lead, rest, at(60 * seen), complete)


@settings(max_examples=200, deadline=None)
@given(story=stories, later=stories, other=stories, seen=st.integers(0, 30), at_last=st.booleans())
def test_what_happens_after_the_observation_changes_no_label(
    history: Any, at: Any, story: Any, later: Any, other: Any, seen: int, at_last: bool
) -> None:
    # Two futures of one past: neither is visible at `seen`, both go on after it.
    past = written(history, story).events
    spec = spec_of(["2h", "6h", "ever"], at="last" if at_last else "first")
    known = []
    for future in (later, other):
        shift = timedelta(hours=31 + 54)
        tail = [
            type(event)(**{**{f: getattr(event, f) for f in event.__struct_fields__}, "event_id": f"later-{i}",
                           "occurred_at": event.occurred_at + shift, "ingested_at": event.ingested_at + shift})
            for i, event in enumerate(written(history, future).events)
        ]  # fmt: skip
        known.append(labels(spec, History("h", "h", [*past, *tail]), observed_until=at(60 * seen)))
    np.testing.assert_array_equal(known[0].onset, known[1].onset)
    np.testing.assert_array_equal(known[0].at_risk, known[1].at_risk)


@settings(max_examples=200, deadline=None)
@given(story=stories, seen=st.integers(0, 40), complete=st.booleans(), at_last=st.booleans())
def test_rows_are_consistent(history: Any, at: Any, story: Any, seen: int, complete: bool, at_last: bool) -> None:
    whole = written(history, story)
    spec = spec_of(["1h", "4h", "ever"], at="last" if at_last else "first", hide="b")
    found = labels(spec, whole, observed_until=at(60 * seen), complete=complete)
    assert len(found.onset) == len(spec.visible(whole, at(60 * seen)).events)
    assert (found.onset.sum(axis=1) <= 1).all()
    assert found.at_risk[found.onset > 0].all(), "an onset lies in a bin at risk"
    within, known = found.cumulative()
    assert (np.diff(within, axis=1) >= 0)[known[:, 1:]].all(), "risk within a longer horizon includes the shorter"
    assert not (found.at_risk[:, 1:] & ~found.at_risk[:, :-1]).any(), "a bin at risk follows bins at risk"
    assert (known | (within == 0)).all(), "what is not known is not counted"
    assert not (known[:, 1:] & ~known[:, :-1]).any(), "a longer horizon is known only where the shorter is"


@pytest.mark.parametrize("length", [2_000])
def test_a_long_history_is_labelled_in_a_moment(history: Any, length: int) -> None:
    whole = history(*((i, "onset" if i % 50 == 49 else "a") for i in range(length)))
    spec = spec_of(["1h", "1d", "ever"], cooldown={"for": "30m"})
    found = labels(spec, whole)
    assert found.onset.shape == (length, 3)
    assert cells(found)[0] == "1--"
