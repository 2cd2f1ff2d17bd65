"""Labels of classes and numbers: what the same, the next or the last event says, and how long until it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from forewarn.targets import RegressionTask, TargetSpec, label_history


def label(history: Any, task: dict[str, Any], observation: dict[str, Any] | None = None, **fields: Any) -> list[Any]:
    spec = TargetSpec.parse({"name": "t", "tasks": [{"name": "x", **task}], **fields})
    found = label_history(spec, history, **(observation or {}))["x"]
    assert isinstance(found, np.ndarray)
    return [None if np.isnan(value) else value for value in found.tolist()]


CLASSES = {"kind": "classification", "field": "mood", "classes": ["bad", "good"]}


def test_a_class_is_read_at_the_same_event_and_missing_or_strange_values_have_none(history: Any) -> None:
    whole = history((0, "a", {"mood": "good"}), (1, "a"), (2, "a", {"mood": "bad"}), (3, "a", {"mood": "odd"}))
    assert label(whole, CLASSES) == [1, -1, 0, -1]


def test_a_class_of_the_next_event_ends_with_the_end_class(history: Any, at: Any) -> None:
    task = {"kind": "classification", "field": "type", "at": "next", "classes": ["a", "b", "<end>"], "end_class": True}
    whole = history((0, "a"), (1, "b"), (2, "a"))
    assert label(whole, task) == [1, 0, 2]
    assert label(whole, task, {"complete": False}) == [1, 0, -1], "an open history has not ended"
    assert label(whole, task, {"observed_until": at(1)}) == [1, -1], "the next event was not observed"


def test_hidden_events_are_no_next_event(history: Any) -> None:
    task = {"kind": "classification", "field": "type", "at": "next", "classes": ["a", "b"]}
    whole = history((0, "a"), (1, "noise"), (2, "b"))
    assert label(whole, task, exclude_events={"field": "type", "equals": "noise"}) == [1, -1]


def test_a_class_of_the_last_event_is_read_from_the_whole_history(history: Any, at: Any) -> None:
    whole = history((0, "a"), (1, "a"), (2, "closed", {"mood": "bad"}))
    hidden = {"exclude_events": {"field": "type", "equals": "closed"}}
    assert label(whole, CLASSES | {"at": "last"}, **hidden) == [0, 0]
    assert label(whole, CLASSES | {"at": "last"}, {"observed_until": at(1)}, **hidden) == [-1, -1]


def test_bins_turn_numbers_into_classes(history: Any) -> None:
    task = {"kind": "classification", "field": "rating", "classes": ["low", "mid", "high"], "bins": [3, 3.001]}
    whole = history(*((i, "a", {"rating": value}) for i, value in enumerate([2.99, 3, 3.25, "4", "?"])))
    assert label(whole, task) == [0, 1, 2, 2, -1]


def test_only_chosen_events_are_labelled(history: Any) -> None:
    whole = history((0, "a", {"mood": "good", "actor": "customer"}), (1, "a", {"mood": "good", "actor": "agent"}))
    assert label(whole, CLASSES | {"only_when": {"field": "actor", "equals": "customer"}}) == [1, -1]


def test_numbers_are_read_from_fields(history: Any) -> None:
    whole = history((0, "a", {"amount": 5}), (1, "a"), (2, "a", {"amount": "7"}))
    assert label(whole, {"kind": "regression", "field": "amount"}) == [5, None, 7]
    assert label(whole, {"kind": "regression", "field": "amount", "at": "next"}) == [None, 7, None]
    assert label(whole, {"kind": "regression", "field": "amount", "at": "last"}) == [7, 7, 7]


def test_gap_is_the_time_to_the_next_event(history: Any) -> None:
    whole = history((0, "a"), (90, "b"), (90, "c"))
    assert label(whole, {"kind": "regression", "field": "gap", "unit": "h"}) == [1.5, 0, None]


def test_remaining_time_runs_to_the_last_event_of_all(history: Any, at: Any) -> None:
    task = {"kind": "regression", "field": "remaining_time", "unit": "h"}
    whole = history((0, "a"), (60, "b"), (180, "closed"))
    assert label(whole, task) == [3, 2, 0]
    assert label(whole, task, exclude_events={"field": "type", "equals": "closed"}) == [3, 2]
    assert label(whole, task, {"observed_until": at(100)}) == [None, None], "the end was not observed"
    assert label(whole, task, {"complete": False}) == [None, None, None]


def test_a_transform_can_be_undone(history: Any) -> None:
    spec = TargetSpec.parse(
        {"name": "t", "tasks": [{"name": "x", "kind": "regression", "field": "gap", "transform": "log1p", "unit": "s"}]}
    )
    task, found = spec.task("x"), label_history(spec, history((0, "a"), (10, "b")))["x"]
    assert isinstance(task, RegressionTask)
    assert isinstance(found, np.ndarray)
    assert found[0] == pytest.approx(np.log1p(600))
    assert task.inverse(found)[0] == pytest.approx(600, rel=1e-5)


def test_several_tasks_label_the_same_rows(history: Any) -> None:
    spec = TargetSpec.load("next_activity").with_classes([history((0, "x"), (1, "a"), (2, "b"))])
    found = label_history(spec, history((0, "x"), (1_440, "a")))
    assert list(found) == ["next_activity", "remaining_time"]
    assert found["remaining_time"].tolist() == pytest.approx([np.log1p(1), 0])


def test_open_classes_cannot_label(history: Any) -> None:
    with pytest.raises(ValueError, match=r"task next_activity: found no classes, .* call spec.with_classes"):
        label_history(TargetSpec.load("next_activity"), history((0, "x")))
