from __future__ import annotations

import pickle
from typing import Any

import pytest

from forewarn.targets import compile_predicate


def holds(history: Any, source: dict[str, Any], *events: Any) -> list[bool]:
    return compile_predicate(source, "when")(history(*events).events).tolist()


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ({"equals": "open"}, [True, False, False]),
        ({"in": ["open", "closed"]}, [True, False, True]),
        ({"matches": "^(op|cl)"}, [True, False, True]),
        ({"changes_to": "closed"}, [False, False, True]),
    ],
)
def test_a_test_of_a_field_answers_for_every_event(history: Any, test: dict[str, Any], expected: list[bool]) -> None:
    rows = [(0, "a", {"state": "open"}), (1, "a"), (2, "a", {"state": "closed"})]
    assert holds(history, {"field": "state", **test}, *rows) == expected


def test_envelope_fields_are_read_like_attributes(history: Any) -> None:
    rows = [(0, "call.started", {"actor": "customer"}), (1, "email.in", {"actor": "agent"})]
    assert holds(history, {"field": "type", "matches": r"^call\."}, *rows) == [True, False]
    assert holds(history, {"field": "actor", "equals": "agent"}, *rows) == [False, True]


def test_numbers_and_texts_compare_by_what_they_say(history: Any) -> None:
    rows = [(0, "a", {"level": 3}), (1, "a", {"level": "3"}), (2, "a", {"level": "4.5"}), (3, "a", {"level": "high"})]
    assert holds(history, {"field": "level", "equals": 3}, *rows) == [True, True, False, False]
    assert holds(history, {"field": "level", "equals": "3"}, *rows) == [True, True, False, False]
    assert holds(history, {"field": "level", "above": 3}, *rows) == [False, False, True, False]
    assert holds(history, {"field": "level", "below": 4}, *rows) == [True, True, False, False]


def test_a_truth_value_in_yaml_equals_its_word_in_a_table(history: Any) -> None:
    assert holds(history, {"field": "made_sla", "equals": False}, (0, "a", {"made_sla": "false"})) == [True]


def test_groups_combine_and_an_event_without_the_field_satisfies_only_not(history: Any) -> None:
    rows = [(0, "a", {"x": 1, "y": 1}), (1, "a", {"x": 1}), (2, "a")]
    x, y = {"field": "x", "above": 0}, {"field": "y", "above": 0}
    assert holds(history, {"all": [x, y]}, *rows) == [True, False, False]
    assert holds(history, {"any": [x, y]}, *rows) == [True, True, False]
    assert holds(history, {"not": x}, *rows) == [False, False, True]


def test_increases_compares_with_the_previous_event_that_carries_the_field(history: Any) -> None:
    rows = [
        (0, "a", {"n": 5}),
        (1, "a"),
        (2, "a", {"n": 6}),
        (3, "a", {"n": 6}),
        (4, "a", {"n": 2}),
        (5, "a", {"n": 3}),
    ]
    assert holds(history, {"field": "n", "increases": True}, *rows) == [False, False, True, False, False, True]


def test_the_first_value_of_a_field_is_no_change(history: Any) -> None:
    rows = [(0, "a"), (1, "a", {"tag": "vip"}), (2, "a", {"tag": "none"}), (3, "a", {"tag": "vip"})]
    assert holds(history, {"field": "tag", "changes_to": "vip"}, *rows) == [False, False, False, True]


def test_a_predicate_names_its_fields_and_survives_pickling(history: Any) -> None:
    predicate = compile_predicate({"all": [{"field": "x", "above": 0}, {"not": {"field": "y", "equals": "b"}}]}, "when")
    again = pickle.loads(pickle.dumps(predicate))
    assert predicate.fields == {"x", "y"}
    assert again == predicate
    assert again(history((0, "a", {"x": 1, "y": "c"})).events).tolist() == [True]


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ({"field": "x", "equal": 1}, "when: found 'equal', expected exactly one of .* did you mean 'equals'"),
        ({"field": "x"}, "when: found nothing, expected exactly one of"),
        ({"field": "x", "above": 1, "below": 3}, "combine several with all: or any:"),
        ({"equals": 1}, r"when\.field: found nothing, expected text; add 'field'"),
        ({"field": "x", "above": "high"}, r"when\.above: found 'high', expected a number"),
        ({"field": "x", "increases": "yes"}, r"when\.increases: found 'yes', expected true"),
        ({"field": "x", "matches": "("}, r"when\.matches: .* expected a regular expression"),
        ({"field": "x", "in": []}, r"when\.in: .* expected a list of values"),
        ({"field": "x", "equals": ["a"]}, r"when\.equals: .* expected one value"),
        (
            {"field": "occurred_at", "above": 3},
            r"when\.field: found 'occurred_at', expected a field that is not a time",
        ),
        ({"all": []}, r"when\.all: .* expected at least one predicate"),
        ({"any": [{"field": "x", "equals": 1}], "extra": 1}, r"when\.extra: found an unknown key"),
        ({"not": {"field": "x", "equalz": 1}}, r"when\.not: found 'equalz'"),
        ("type == x", "when: found 'type == x', expected a mapping"),
    ],
)
def test_what_is_no_predicate_is_refused_with_its_key_path(source: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        compile_predicate(source, "when")
