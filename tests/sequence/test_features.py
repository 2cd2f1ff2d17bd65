"""Histories to arrays: what every prefix may know, and what it must not."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forewarn.events import Event, History, InputsConfig, make_history
from forewarn.sequence import Featurizer, SequenceConfig
from forewarn.sequence.derived import CASE_FIELDS, DERIVED_FIELDS, derived_fields, event_times, rotary_positions
from forewarn.sequence.quantiles import QuantileMap
from forewarn.sequence.vocabulary import MISSING, UNKNOWN, Vocabulary

START = datetime(2026, 3, 2, 9, tzinfo=UTC)


def event(number: int, at: datetime, **fields: object) -> Event:
    known = {"type": "conversation.message", "attributes": {}} | fields
    return Event(event_id=str(number), source="t", customer_id="c", occurred_at=at, ingested_at=at, **known)  # type: ignore[arg-type]


gaps = st.lists(st.integers(0, 10 * 86_400), min_size=1, max_size=30)
names = st.sampled_from(["a", "b", "c", None])


@st.composite
def histories(draw: st.DrawFn) -> History:
    at, events = START, []
    for number, gap in enumerate(draw(gaps)):
        at += timedelta(seconds=gap)
        attributes: dict[str, str | float] = {}
        if (queue := draw(names)) is not None:
            attributes["queue"] = queue
        if draw(st.booleans()):
            attributes["amount"] = draw(st.floats(-1e6, 1e6))
        events.append(
            event(number, at, channel=draw(names), actor=draw(names), case_id=draw(names), attributes=attributes)
        )
    return make_history("h", events)


def fitted(*given: History) -> Featurizer:
    config = SequenceConfig(min_count=1)
    return Featurizer.fit(given, InputsConfig(), config, exclude=set(), text_width=0)


@given(histories(), st.data())
@settings(max_examples=60, deadline=None)
def test_every_prefix_encodes_to_the_first_rows_of_the_whole(history: History, data: st.DataObject) -> None:
    featurizer = fitted(history)
    k = data.draw(st.integers(1, len(history.events)))
    (whole,) = featurizer.encode([history])
    (prefix,) = featurizer.encode([History(history.history_id, history.customer_id, history.events[:k])])
    np.testing.assert_array_equal(prefix.categorical, whole.categorical[:k])
    np.testing.assert_array_equal(prefix.numeric, whole.numeric[:k])
    np.testing.assert_array_equal(prefix.position, whole.position[:k])


@given(st.lists(histories(), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_a_history_encodes_alike_alone_and_among_others(several: list[History]) -> None:
    featurizer = fitted(*several)
    together = featurizer.encode(several)
    for history, encoded in zip(several, together, strict=True):
        (alone,) = featurizer.encode([history])
        np.testing.assert_array_equal(alone.categorical, encoded.categorical)
        np.testing.assert_array_equal(alone.numeric, encoded.numeric)


@given(histories())
@settings(max_examples=60, deadline=None)
def test_positions_are_append_only_and_strictly_rising(history: History) -> None:
    position = rotary_positions(event_times(history.events), 1.0, 3_600.0)
    assert position[0] == 0
    assert (np.diff(position) >= 1 - 1e-3).all()


def test_silence_moves_positions_by_its_logarithm() -> None:
    at_once, after_a_week = np.array([0.0, 0.0]), np.array([0.0, 7 * 86_400.0])
    assert rotary_positions(at_once, 1.0, 3_600.0)[1] == 1.0
    assert rotary_positions(after_a_week, 1.0, 3_600.0)[1] == pytest.approx(1 + np.log1p(168))


def test_a_late_record_counts_as_happening_when_it_became_known() -> None:
    late = Event(
        event_id="2", source="t", customer_id="c", type="email.in",
        occurred_at=START - timedelta(hours=5), ingested_at=START + timedelta(hours=1),
    )  # fmt: skip
    times = event_times(make_history("h", [event(1, START), late]).events)
    assert times.tolist() == [START.timestamp()] * 2


def test_derived_fields_say_what_they_promise() -> None:
    events = [
        event(1, START, actor="customer", channel="chat", case_id="x"),
        event(2, START + timedelta(minutes=10), actor="agent", channel="chat", case_id="x"),
        event(3, START + timedelta(hours=2), actor="customer", channel="phone", case_id="y"),
        event(4, START + timedelta(hours=3), actor="customer", channel="phone", case_id="x"),
    ]
    rows = derived_fields(events, event_times(events))
    column = {name: rows[:, i] for i, name in enumerate(DERIVED_FIELDS)}
    np.testing.assert_array_equal(column["time.gap_s"], [np.nan, 600, 6_600, 3_600])
    np.testing.assert_array_equal(column["time.elapsed_s"], [0, 600, 7_200, 10_800])
    np.testing.assert_array_equal(column["time.case_gap_s"], [np.nan, 600, np.nan, 10_200])
    np.testing.assert_array_equal(column["time.customer_gap_s"], [np.nan, 600, 7_200, 3_600])
    np.testing.assert_array_equal(column["count.events"], [1, 2, 3, 4])
    np.testing.assert_array_equal(column["count.type"], [1, 2, 3, 4])
    np.testing.assert_array_equal(column["count.channel_switches"], [0, 0, 1, 1])
    np.testing.assert_array_equal(column["count.actor_switches"], [0, 1, 2, 2])
    assert column["time.hour_sin"][0] == pytest.approx(np.sin(2 * np.pi * 9 / 24))


def several_cases() -> History:
    """A customer with two cases on overlapping issues, and an event outside any case."""
    told = [("x", "mail"), ("y", "mail"), ("y", "phone"), ("x", "phone"), (None, "mail"), ("x", "mail")]
    return make_history("c", [
        event(i, START + timedelta(hours=i), case_id=case, attributes={"about": about})
        for i, (case, about) in enumerate(told)
    ])  # fmt: skip


def test_case_relations_say_what_they_promise() -> None:
    events = several_cases().events
    rows = derived_fields(events, event_times(events), "about")
    column = {name: rows[:, DERIVED_FIELDS.index(name)] for name in CASE_FIELDS}
    none = np.nan
    np.testing.assert_array_equal(column["case.same"], [none, 0, 1, 0, none, 0])
    np.testing.assert_array_equal(column["case.events"], [1, 1, 2, 2, none, 3])
    np.testing.assert_array_equal(column["case.elapsed_s"] / 3600, [0, 0, 1, 3, none, 5])
    np.testing.assert_array_equal(column["case.other_gap_s"] / 3600, [none, 1, 2, 1, none, 3])
    np.testing.assert_array_equal(column["case.issue_gap_s"] / 3600, [none, 1, none, 1, 3, 1])


def test_a_case_long_ago_is_no_relation() -> None:
    for days, related in ((7, True), (8, False)):
        events = [
            event(0, START, case_id="x", attributes={"about": "mail"}),
            event(1, START + timedelta(days=days), case_id="y", attributes={"about": "mail"}),
        ]
        rows = derived_fields(events, event_times(events), "about")
        for name in ("case.other_gap_s", "case.issue_gap_s"):
            assert np.isfinite(rows[1, DERIVED_FIELDS.index(name)]) == related


def test_relations_between_cases_are_inputs_only_where_histories_hold_several() -> None:
    whole = several_cases()
    assert fitted(whole).quantiles.keys() >= CASE_FIELDS - {"case.issue_gap_s"}
    one_each = [
        make_history(str(case), [event for event in whole.events if event.case_id == case]) for case in ("x", "y")
    ]
    assert CASE_FIELDS.isdisjoint(fitted(*one_each).quantiles)


def test_the_issue_is_remembered_by_the_featurizer() -> None:
    whole, inputs = several_cases(), InputsConfig(issue="about")
    featurizer = Featurizer.fit([whole], inputs, SequenceConfig(min_count=1), exclude=set(), text_width=0)
    assert "case.issue_gap_s" in featurizer.quantiles
    again = Featurizer.from_dict(featurizer.to_dict())
    np.testing.assert_array_equal(again.encode([whole])[0].numeric, featurizer.encode([whole])[0].numeric)


def test_a_featurizer_fitted_before_there_were_relations_encodes_as_it_did() -> None:
    old = fitted(several_cases()).to_dict()
    del old["issue"]
    old["numeric"] = {name: knots for name, knots in old["numeric"].items() if name not in CASE_FIELDS}
    column = [i for i, name in enumerate(fitted(several_cases()).quantiles) if name not in CASE_FIELDS]
    (today,) = fitted(several_cases()).encode([several_cases()])
    (then,) = Featurizer.from_dict(old).encode([several_cases()])
    np.testing.assert_array_equal(then.numeric, today.numeric[:, column])


@pytest.mark.parametrize(("issue", "excluded"), [("abuot", set()), ("about", {"about"})])
def test_an_issue_must_exist_and_must_not_be_evidence(issue: str, excluded: set[str]) -> None:
    inputs = InputsConfig(issue=issue)
    with pytest.raises(ValueError, match=f"data.inputs.issue: found '{issue}'"):
        Featurizer.fit([several_cases()], inputs, SequenceConfig(), exclude=excluded, text_width=0)


def test_a_derived_field_can_be_kept_out() -> None:
    inputs = InputsConfig(exclude=["count.events"])
    featurizer = Featurizer.fit([several_cases()], inputs, SequenceConfig(), exclude=set(), text_width=0)
    assert "count.events" not in featurizer.quantiles
    assert "count.type" in featurizer.quantiles


def test_unseen_categories_are_unknown_absent_ones_missing_and_numbers_match_their_text() -> None:
    vocabulary = Vocabulary.fit(Counter({"3": 5, "billing": 4, "rare": 1}), min_count=2, max_size=10)
    assert vocabulary.encode(["3", 3.0, "rare", None]).tolist() == [2, 2, UNKNOWN, MISSING]
    assert vocabulary.decode([0, 1, 3]) == ["<unknown>", "<missing>", "billing"]


def test_long_numeric_codes_are_categories_of_their_own() -> None:
    codes = [1_234_567.0, 1_234_568.0, float(2**53), 0.1]
    events = [event(i, START, attributes={"code": code}) for i, code in enumerate(codes)]
    inputs = InputsConfig(categorical=["code"])
    history = make_history("h", events)
    featurizer = Featurizer.fit([history], inputs, SequenceConfig(min_count=1), exclude=set(), text_width=0)
    assert set(featurizer.vocabularies["code"].values) == {"1234567", "1234568", "9007199254740992", "0.1"}
    assert len(set(featurizer.encode([history])[0].categorical[:, 1].tolist())) == 4


@given(st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=200), st.floats(allow_nan=False, allow_infinity=False))
def test_quantile_maps_are_monotone_and_bounded(values: list[float], probe: float) -> None:
    mapping = QuantileMap.fit(np.array(values), 64)
    mapped = mapping(np.sort(np.array([*values, probe])))
    assert (np.diff(mapped) >= 0).all() and np.abs(mapped).max() <= 1


def test_missing_numbers_stay_missing() -> None:
    assert np.isnan(QuantileMap.fit(np.array([1.0, 2.0]), 4)(np.array([np.nan]))[0])


def test_automatic_choice_leaves_out_ids_prose_constants_and_evidence() -> None:
    events = [
        event(i, START + timedelta(hours=i), attributes={
            "queue": "ab"[i % 2], "ticket_id": f"id-{i}", "note": f"{i} " + "long " * 60, "constant": 1.0,
            "amount": float(i), "evidence": "xy"[i % 2],
        })
        for i in range(60)
    ]  # fmt: skip
    config = SequenceConfig(min_count=1)
    featurizer = Featurizer.fit([make_history("h", events)], InputsConfig(), config, exclude={"evidence"}, text_width=0)
    assert list(featurizer.vocabularies) == ["type", "queue"]
    assert featurizer.attributes == ["amount"]


def test_a_listed_field_must_exist_and_must_not_be_evidence() -> None:
    history = make_history("h", [event(1, START, attributes={"queue": "a"})])
    for name, excluded in (("qeue", set()), ("queue", {"queue"})):
        with pytest.raises(ValueError, match=f"data.inputs.categorical: found '{name}'"):
            Featurizer.fit(
                [history], InputsConfig(categorical=[name]), SequenceConfig(), exclude=excluded, text_width=0
            )


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (InputsConfig(numeric=["queue"]), r"data.inputs.numeric: found 'queue', which is text"),
        (InputsConfig(numeric=["type"]), r"data.inputs.numeric: found 'type', which is text"),
        (InputsConfig(categorical=["amount"], numeric=["amount"]), r"found 'amount' in the other list too"),
    ],
)
def test_a_numeric_field_must_hold_numbers_and_be_in_one_list(inputs: InputsConfig, message: str) -> None:
    history = make_history("h", [event(1, START, attributes={"queue": "a", "amount": 1.0})])
    with pytest.raises(ValueError, match=message):
        Featurizer.fit([history], inputs, SequenceConfig(), exclude=set(), text_width=0)


def test_a_new_attribute_and_a_new_category_are_accepted() -> None:
    featurizer = fitted(make_history("h", [event(i, START, attributes={"queue": "ab"[i % 2]}) for i in range(4)]))
    strange = make_history("h", [event(9, START, attributes={"queue": "new", "colour": "red"})])
    (encoded,) = featurizer.encode([strange])
    assert encoded.categorical[0, list(featurizer.vocabularies).index("queue")] == UNKNOWN
    assert "colour" not in featurizer.known


@given(st.lists(histories(), min_size=1, max_size=3))
@settings(max_examples=20, deadline=None)
def test_a_featurizer_survives_being_written_and_read(several: list[History]) -> None:
    import json

    featurizer = fitted(*several)
    again = Featurizer.from_dict(json.loads(json.dumps(featurizer.to_dict())))
    for left, right in zip(featurizer.encode(several), again.encode(several), strict=True):
        np.testing.assert_array_equal(left.categorical, right.categorical)
        np.testing.assert_array_equal(left.numeric, right.numeric)


def test_texts_are_embedded_once_each_and_found_again_by_index() -> None:
    asked: list[str] = []

    def embed(texts: list[str]) -> np.ndarray:
        asked.extend(texts)
        return np.array([[float(len(text)), 1.0] for text in texts], dtype=np.float32)

    histories = [
        make_history("a", [event(1, START, text="hello"), event(2, START), event(3, START, text="hello")]),
        make_history("b", [event(1, START, text="again!"), event(2, START, text="hello")]),
    ]
    featurizer = Featurizer.fit(histories, InputsConfig(), SequenceConfig(min_count=1), exclude=set(), text_width=2)
    first, second = featurizer.encode(histories, embed)  # type: ignore[arg-type]
    assert sorted(asked) == ["again!", "hello"]
    assert first.text_index.tolist() == [1, 0, 1]
    assert second.text_vectors[second.text_index[0] - 1][0] == len("again!")


def test_text_in_a_numeric_field_is_missing_unless_it_is_a_number() -> None:
    events = [event(i, START + timedelta(hours=i), attributes={"amount": float(i)}) for i in range(4)]
    featurizer = fitted(make_history("h", events))
    values: list[str | float] = ["2.0", "plenty", 2.0]
    mixed = [event(i, START, attributes={"amount": value}) for i, value in enumerate(values)]
    (encoded,) = featurizer.encode([make_history("h", mixed)])
    column = encoded.numeric[:, featurizer.attributes.index("amount")]
    assert column[0] == column[2] and np.isnan(column[1])


def test_a_cross_reads_a_combination_that_its_parts_do_not_say() -> None:
    seen = [("one", "ann"), ("one", "bob"), ("two", "ann"), ("two", None), (None, None)]
    events = [
        event(i, START, attributes={name: value for name, value in zip(("group", "agent"), pair, strict=True) if value})
        for i, pair in enumerate(seen)
    ]
    inputs = InputsConfig(categorical=["group", "agent"], crosses=[["group", "agent"]])
    history = make_history("h", events)
    featurizer = Featurizer.fit([history], inputs, SequenceConfig(min_count=1), exclude=set(), text_width=0)
    assert list(featurizer.vocabularies) == ["type", "group", "agent", "group*agent"]
    token = featurizer.encode([history])[0].categorical[:, 3]
    assert len(set(token.tolist())) == 5 and token[4] == MISSING
    again = Featurizer.from_dict(featurizer.to_dict()).encode([history])[0]
    np.testing.assert_array_equal(again.categorical[:, 3], token)
    strange = make_history("h", [event(9, START, attributes={"group": "one", "agent": "cyd"})])
    assert featurizer.encode([strange])[0].categorical[0, 3] == UNKNOWN
    assert "group*agent" not in featurizer.known, "no attribute of an event"


@pytest.mark.parametrize(
    ("crosses", "message"),
    [
        ([["queue"]], r"found \['queue'\], expected two or more different fields"),
        ([["queue", "queue"]], "two or more different"),
        ([["queue", "amount"]], "found 'amount', expected categorical inputs"),
        ([["queue", "type"], ["queue", "type"]], r"found 'queue\*type' twice"),
    ],
)
def test_a_cross_combines_categorical_inputs_once(crosses: list[list[str]], message: str) -> None:
    history = make_history("h", [event(i, START, attributes={"queue": "ab"[i % 2], "amount": 1.0}) for i in range(4)])
    with pytest.raises(ValueError, match=f"data.inputs.crosses: .*{message}"):
        Featurizer.fit([history], InputsConfig(crosses=crosses), SequenceConfig(), exclude=set(), text_width=0)
