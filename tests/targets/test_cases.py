"""Targets with `per`: every case within a customer's history is judged as if it were a history of its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forewarn.events import Event, History
from forewarn.targets import (
    Cases,
    HazardLabels,
    HazardTask,
    HistorySummary,
    ProtocolConfig,
    TargetSpec,
    assign_splits,
    label_history,
    next_onset,
    summarise,
)

DAY_0 = datetime(2026, 3, 2, tzinfo=UTC)
ONSET = {"when": {"field": "type", "equals": "onset"}}
TASKS = [
    {"name": "soon", "kind": "hazard", "onset": ONSET, "horizons": ["1h", "1d", "ever"], "lead": "5m"},
    {"name": "counted", "kind": "hazard", "onset": ONSET, "horizons": ["1 event", "ever"]},
    {"name": "rested", "kind": "hazard", "onset": ONSET, "horizons": ["1d"], "cooldown": {"for": "2h"}},
    {
        "name": "missed",
        "kind": "hazard",
        "onset": {"when": {"field": "mood", "equals": "bad"}, "at": "last"},
        "horizons": ["ever"],
    },
    {
        "name": "moved",
        "kind": "hazard",
        "onset": {"when": {"field": "mood", "changes_to": "bad"}},
        "horizons": ["ever"],
    },
    {"name": "mood", "kind": "classification", "field": "mood", "at": "last", "classes": ["bad", "good"]},
    {"name": "next", "kind": "next_event", "classes": ["a", "onset", "<end>"]},
    {"name": "left", "kind": "regression", "field": "remaining_time", "only_when": {"field": "mood", "equals": "good"}},
]
HIDDEN = {"exclude_events": {"field": "type", "equals": "closed"}}


def spec_of(*tasks: dict[str, Any], per: str | None = "case_id", **fields: Any) -> TargetSpec:
    return TargetSpec.parse({"name": "t", "per": per, "tasks": list(tasks), **fields})


def parts(labels: Any) -> list[np.ndarray]:
    return [labels.onset, labels.at_risk, labels.observed] if isinstance(labels, HazardLabels) else [labels]


@st.composite
def customers(draw: st.DrawFn) -> History:
    at, events = DAY_0, []
    for number in range(draw(st.integers(1, 25))):
        at += timedelta(minutes=draw(st.sampled_from([0, 3, 40, 90, 2_000])))
        events.append(
            Event(
                event_id=str(number),
                source="t",
                customer_id="c",
                type=draw(st.sampled_from(["a", "onset", "closed"])),
                occurred_at=at,
                ingested_at=at,
                case_id=draw(st.sampled_from(["x", "y", "z", None])),
                attributes={"mood": draw(st.sampled_from(["bad", "good"]))},
            )
        )
    return History("c", "c", events)


@given(customers(), st.integers(0, 30), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_case_within_a_history_has_the_labels_of_the_case_alone(whole: History, hours: int, complete: bool) -> None:
    until = DAY_0 + timedelta(hours=hours)
    tasks = [
        task | {"horizons": ["1h"]} if "ever" in task.get("horizons", []) and not complete else task for task in TASKS
    ]
    together, alone = (spec_of(*tasks, per=per, complete=complete, **HIDDEN) for per in ("case_id", None))
    found = label_history(together, whole, observed_until=until)
    rows = together.visible(whole, until).events
    for case in {event.case_id for event in whole.events} - {None}:
        own = [row for row, event in enumerate(rows) if event.case_id == case]
        history = History(str(case), "c", [event for event in whole.events if event.case_id == case])
        expected = label_history(alone, history, observed_until=until)
        for task in together.tasks:
            for left, right in zip(parts(found[task.name]), parts(expected[task.name]), strict=True):
                np.testing.assert_array_equal(left[own], right)


@given(customers(), st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_the_onset_ahead_within_a_case_is_that_of_the_case_alone(whole: History, hours: int) -> None:
    until = DAY_0 + timedelta(hours=hours)
    together, alone = (spec_of(*TASKS[:5], per=per, **HIDDEN) for per in ("case_id", None))
    case_ids = [event.case_id for event in together.visible(whole, until).events]
    for task in together.tasks:
        assert isinstance(task, HazardTask)
        found = next_onset(together, task, whole, observed_until=until)
        assert (found.number[[case is None for case in case_ids]] == -1).all()
        for case in set(case_ids) - {None}:
            history = History(str(case), "c", [event for event in whole.events if event.case_id == case])
            expected = next_onset(alone, task, history, observed_until=until)
            own = [other == case for other in case_ids]
            for part in ("number", "span", "events"):
                np.testing.assert_array_equal(getattr(found, part)[own], getattr(expected, part))


@given(customers())
@settings(max_examples=60, deadline=None)
def test_an_event_without_a_case_is_context_and_has_no_label(whole: History) -> None:
    spec = spec_of(*TASKS)
    outside = [row for row, event in enumerate(spec.visible(whole).events) if event.case_id is None]
    for task, labels in label_history(spec, whole).items():
        onset = parts(labels)[0][outside]
        if isinstance(labels, HazardLabels):
            assert not labels.at_risk[outside].any() and not labels.cumulative()[1][outside].any(), task
        else:
            assert ((onset < 0) | np.isnan(onset)).all(), task


def test_what_happens_in_another_case_is_no_onset_of_this_one(history: Any) -> None:
    whole = history(
        (0, "a", {"case_id": "x"}), (1, "a", {"case_id": "y"}), (2, "onset", {"case_id": "y"}),
        (3, "a", {"case_id": "x"}),
    )  # fmt: skip
    hazard = {"name": "risk", "kind": "hazard", "onset": ONSET, "horizons": ["ever"]}
    assert label_history(spec_of(hazard, per=None), whole)["risk"].onset[:, 0].tolist() == [1, 1, 0, 0]
    assert label_history(spec_of(hazard), whole)["risk"].onset[:, 0].tolist() == [0, 1, 0, 0]


def test_any_field_may_tell_the_cases_apart(history: Any) -> None:
    whole = history((0, "a", {"order": 7}), (1, "b", {"order": "7"}), (2, "a"), (3, "a", {"order": 8}))
    cases = Cases.of(whole.events, "order")
    assert (cases.names, cases.number.tolist(), cases.prefix().tolist()) == (("7", "8"), [0, 0, -1, 1], [1, 2, 0, 1])
    assert [own.tolist() for own in cases.events()] == [[0, 1], [3]]


def test_the_hash_of_a_target_changes_only_when_per_is_set() -> None:
    plain = {"name": "t", "tasks": [TASKS[0]]}
    assert TargetSpec.parse(plain | {"per": None}).hash == TargetSpec.parse(plain).hash
    assert TargetSpec.parse(plain | {"per": "case_id"}).hash != TargetSpec.parse(plain).hash
    assert TargetSpec.from_yaml(spec_of(TASKS[0]).to_yaml()).per == "case_id"
    with pytest.raises(ValueError, match=r"target\.per: found \['case_id'\], expected text"):
        TargetSpec.parse(plain | {"per": ["case_id"]})


def test_per_hides_no_further_field() -> None:
    assert spec_of(*TASKS).hidden_inputs() == spec_of(*TASKS, per=None).hidden_inputs() == {"mood"}


def test_each_case_is_summarised_by_its_own_events(history: Any, at: Any) -> None:
    whole = history(
        (0, "a", {"case_id": "x"}), (1, "closed", {"case_id": "y"}), (2, "a", {"case_id": "y"}), (3, "a"),
        (4, "closed", {"case_id": "x"}), (5, "closed", {"case_id": "z"}),
    )  # fmt: skip
    assert summarise(whole, spec_of(TASKS[0], **HIDDEN), ProtocolConfig()) == [
        HistorySummary("h1", "h1", at(0), at(4), first_seen=at(0), case="x"),
        HistorySummary("h1", "h1", at(2), at(2), first_seen=at(2), case="y"),
    ]


def cases_of_customers(number: int) -> list[HistorySummary]:
    """One case a day, half a day long, customer by customer in turn."""
    return [
        HistorySummary(
            f"c{i % 7}", f"c{i % 7}", DAY_0 + timedelta(days=i), DAY_0 + timedelta(days=i, hours=12), case=f"k{i}"
        )
        for i in range(number)
    ]


@pytest.mark.parametrize(
    "protocol", [{"straddlers": "drop", "valid": "random"}, {"split": "random", "valid": "random"}]
)
def test_cases_are_split_as_if_each_were_a_history(protocol: dict[str, Any]) -> None:
    within = cases_of_customers(40)
    alone = [HistorySummary(str(item.case), item.customer_id, item.start, item.end) for item in within]
    cfg = ProtocolConfig(**protocol)
    split, expected = assign_splits(within, cfg).split, assign_splits(alone, cfg).split
    assert {item.case: split[item.unit] for item in within} == expected


def test_a_split_file_may_list_cases_or_customers() -> None:
    given = {"c0": "train", "k1": "test", "k2": "valid"}
    found = assign_splits(cases_of_customers(9), ProtocolConfig(split="given"), given)
    assert found.split == {f"c{i % 7}/k{i}": "dropped" for i in range(9)} | {
        "c0/k0": "train", "c0/k7": "train", "c1/k1": "test", "c2/k2": "valid",
    }  # fmt: skip


def test_two_customers_may_use_the_same_name_for_a_case() -> None:
    index = [
        HistorySummary(f"c{i}", f"c{i}", DAY_0 + timedelta(days=i), DAY_0 + timedelta(days=i), case="first")
        for i in range(8)
    ]
    found = assign_splits(index, ProtocolConfig())
    assert (found.split["c0/first"], found.split["c7/first"]) == ("train", "test")
    assert sum(found.counts.values()) == 8


def test_a_test_case_of_a_known_customer_is_not_unseen() -> None:
    index = cases_of_customers(40)
    new = HistorySummary("new", "new", DAY_0 + timedelta(days=50), DAY_0 + timedelta(days=50), case="k50")
    assert assign_splits([*index, new], ProtocolConfig()).unseen == {"new/k50"}
