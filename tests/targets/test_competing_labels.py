"""Labels of competing onsets: the first ends the wait for all, and the others are known not to have come first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forewarn.events import History
from forewarn.targets import HazardLabels, HazardTask, TargetSpec, label_history, label_silences, next_onset

LEAVES = {"field": "type", "in": ["leaves", "both"]}
COMPLAINS = {"field": "type", "in": ["complains", "both"]}
HOUR = 3_600_000_000  # µs


def spec_of(horizons: list[str], *, at: str = "first", names: str = "leaves complains", **more: Any) -> TargetSpec:
    """Two competing tasks; what is given for "leaves" or "complains" is that task's alone, the rest the target's."""
    whole = {key: more.pop(key) for key in ("exclude_events", "per", "complete") if key in more}
    own = {name: more.pop(name, {}) for name in ("leaves", "complains")}
    tasks = [
        {
            "name": name,
            "kind": "hazard",
            "onset": {"when": {"leaves": LEAVES, "complains": COMPLAINS}[name], "at": at},
            "horizons": horizons,
            "competes_in": "ending",
            **more,
            **own[name],
        }
        for name in names.split()
    ]
    return TargetSpec.parse({"name": "t", "tasks": tasks, **whole})


def labels(spec: TargetSpec, history: History, **observation: Any) -> dict[str, HazardLabels]:
    return label_history(spec, history, **observation)  # type: ignore[return-value]


def cells(found: HazardLabels) -> list[str]:
    """One word per row: 1 onset, 0 at risk without onset, - not at risk."""
    marks = np.where(found.at_risk, np.where(found.onset > 0, "1", "0"), "-")
    return ["".join(row) for row in marks.tolist()]


def within(found: HazardLabels) -> list[str]:
    """One word per row: 1 came first within the horizon, 0 did not, ? unknown."""
    onset, known = found.cumulative()
    return ["".join(row) for row in np.where(known, onset.astype(str), "?").tolist()]


def test_the_onset_that_comes_first_ends_the_wait_for_the_other_whose_outcome_is_then_known(history: Any) -> None:
    whole = history((0, "a"), (90, "complains"), (150, "leaves"), (160, "b"))
    found = labels(spec_of(["1h", "2h", "3h"]), whole)
    assert cells(found["complains"]) == ["01-", "0--", "000", "000"]
    assert cells(found["leaves"]) == ["00-", "1--", "000", "000"]
    assert within(found["complains"]) == ["011", "000", "000", "000"]
    assert within(found["leaves"]) == ["000", "111", "000", "000"]


def test_without_the_group_the_later_onset_counts_too(history: Any) -> None:
    whole = history((0, "a"), (90, "complains"), (150, "leaves"))
    alone = labels(spec_of(["1h", "2h", "3h"], competes_in=None), whole)
    assert (within(alone["complains"])[0], within(alone["leaves"])[0]) == ("011", "001")


def test_within_one_bin_the_earlier_onset_has_it(history: Any) -> None:
    whole = history((0, "a"), (10, "complains"), (11, "leaves"))
    found = labels(spec_of(["1h", "2h"]), whole)
    assert (cells(found["complains"])[0], cells(found["leaves"])[0]) == ("1-", "0-")


def test_of_two_onsets_on_one_event_the_task_named_first_has_it(history: Any) -> None:
    whole = history((0, "a"), (30, "both"))
    for names, first, second in (
        ("leaves complains", "leaves", "complains"),
        ("complains leaves", "complains", "leaves"),
    ):
        found = labels(spec_of(["1h", "2h"], names=names), whole)
        assert (within(found[first])[0], within(found[second])[0]) == ("11", "00")


def test_at_one_instant_the_order_of_the_history_decides(history: Any) -> None:
    whole = history((0, "a"), (0, "complains"), (0, "leaves"))
    found = labels(spec_of(["1h"]), whole)
    assert (within(found["complains"]), within(found["leaves"])) == (["1", "0", "0"], ["0", "1", "0"])


def test_what_is_not_watched_to_its_end_is_unknown_to_all_whichever_came(history: Any, at: Any) -> None:
    spec, quiet = spec_of(["1h", "2h", "3h"]), history((0, "a"), (500, "b"))
    stormy = history((0, "a"), (30, "complains"), (500, "b"))
    for name in ("leaves", "complains"):
        assert within(labels(spec, quiet, observed_until=at(130))[name])[0] == "00?"
        assert cells(labels(spec, quiet, observed_until=at(130))[name])[0] == "00-"
    found = labels(spec, stormy, observed_until=at(130))
    assert (within(found["complains"])[0], within(found["leaves"])[0]) == ("11?", "00?")


def test_a_cooldown_of_one_is_no_observation_point_of_any(history: Any) -> None:
    until = {"cooldown": {"until": {"field": "type", "equals": "settled"}}}
    whole = history((0, "a"), (30, "complains"), (40, "b"), (60, "settled"), (90, "leaves"), (95, "c"))
    found = labels(spec_of(["1h", "ever"], complains=until), whole)
    assert cells(found["complains"]) == ["1-", "--", "--", "0-", "00", "00"]
    assert cells(found["leaves"]) == ["0-", "--", "--", "1-", "00", "00"]


def test_an_end_for_ever_that_comes_in_the_cooldown_of_another_still_ends_all(history: Any) -> None:
    whole = history((0, "a"), (30, "complains"), (40, "leaves"), (200, "b"))
    spec = spec_of(["1h"], complains={"cooldown": {"for": "1h"}}, leaves={"cooldown": {"for": "ever"}})
    found = labels(spec, whole)
    assert cells(found["complains"]) == ["1", "-", "-", "-"] and cells(found["leaves"]) == ["0", "-", "-", "-"]


def test_a_competing_onset_within_the_lead_masks_the_row_of_all(history: Any) -> None:
    whole = history((0, "a"), (50, "b"), (60, "complains"), (70, "leaves"))
    found = labels(spec_of(["1h", "ever"], lead="15m"), whole)
    assert cells(found["leaves"])[:2] == ["0-", "--"]
    assert cells(found["complains"])[:2] == ["1-", "--"]


def test_final_outcomes_compete_too(history: Any) -> None:
    spec = spec_of(["ever"], at="last", exclude_events={"field": "type", "in": ["leaves", "both"]})
    found = labels(spec, history((0, "complains"), (1, "a"), (2, "both")))
    assert (within(found["leaves"]), within(found["complains"])) == (["1", "1"], ["0", "0"])


def test_horizons_in_events_and_a_hidden_competitor(history: Any) -> None:
    spec = spec_of(["1 event", "2 events", "ever"], exclude_events={"field": "type", "equals": "leaves"})
    found = labels(spec, history((0, "a"), (1, "b"), (2, "leaves"), (3, "complains")))
    assert cells(found["leaves"]) == ["01-", "1--", "000"]
    assert cells(found["complains"]) == ["00-", "0--", "000"]


def test_with_cases_only_onsets_of_one_case_compete(history: Any) -> None:
    one, two = {"case_id": "1"}, {"case_id": "2"}
    whole = history((0, "a", one), (5, "a", two), (10, "leaves", two), (50, "complains", one))
    found = labels(spec_of(["1h"], per="case_id"), whole)
    assert (within(found["leaves"])[:2], within(found["complains"])[:2]) == (["0", "1"], ["1", "0"])


def test_a_competitor_that_came_unseen_in_a_silence_is_past(history: Any, at: Any) -> None:
    spec = spec_of(["1h", "2h"], exclude_events={"field": "type", "equals": "leaves"}, complete=False)
    whole = history((0, "a"), (30, "leaves"), (90, "complains"))
    silence_TS = np.array([[0, HOUR * 29 // 60, HOUR * 31 // 60], [0, 0, 0]])
    found = label_silences(spec, whole, silence_TS, observed_until=at(900))
    words = {name: [cells(HazardLabels(o, r))[0] for o, r in _by_silence(own)] for name, own in found.items()}
    assert words == {"leaves": ["1-", "1-", "0-"], "complains": ["0-", "0-", "1-"]}


def _by_silence(own: HazardLabels) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(own.onset[:, number], own.at_risk[:, number]) for number in range(own.onset.shape[1])]


def test_no_onset_is_ahead_where_a_competing_one_comes_first(history: Any) -> None:
    spec, whole = spec_of(["1h"]), history((0, "a"), (30, "complains"), (50, "leaves"), (60, "complains"))
    leaves, complains = (next_onset(spec, task, whole) for task in spec.tasks if isinstance(task, HazardTask))
    assert leaves.number.tolist() == [-1, 0, -1, -1] and leaves.span.tolist() == [-1, HOUR // 3, -1, -1]
    assert complains.number.tolist() == [0, -1, 1, -1] and complains.events.tolist() == [1, -1, 1, -1]


stories = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from(["a", "leaves", "complains", "both"])), min_size=1, max_size=9
)


@settings(max_examples=200, deadline=None)
@given(
    story=stories,
    lead=st.integers(0, 3),
    seen=st.integers(0, 40),
    complete=st.booleans(),
    at_last=st.booleans(),
    hide=st.none() | st.sampled_from(["a", "leaves"]),
    late=st.integers(0, 400),
)
def test_the_causes_add_up_to_the_onset_of_any(
    history: Any, at: Any, story: Any, lead: int, seen: int, complete: bool, at_last: bool, hide: Any, late: int
) -> None:
    """Every row, at its event and in silence: known alike, and one cause has what a task of both predicates has."""
    minutes = np.cumsum([60 * gap for gap, _ in story]).tolist()
    whole = history(*((minute, kind) for minute, (_, kind) in zip(minutes, story, strict=True)))
    hidden = {"exclude_events": {"field": "type", "equals": hide}} if hide else {}
    shared = {"horizons": ["2h", "6h", "ever"], "lead": f"{lead}h"}
    causes = spec_of(**shared, at="last" if at_last else "first", **hidden)  # type: ignore[arg-type]
    onset = {"when": {"any": [LEAVES, COMPLAINS]}, "at": "last" if at_last else "first"}
    either = TargetSpec.parse(
        {"name": "t", "tasks": [{"name": "either", "kind": "hazard", "onset": onset, **shared}], **hidden}
    )
    observation: dict[str, Any] = {"observed_until": at(60 * seen), "complete": complete}
    silence_TS = np.full((len(causes.visible(whole, at(60 * seen)).events), 1), late * 60_000_000, np.int64)
    for apart, together in (
        (labels(causes, whole, **observation), labels(either, whole, **observation)["either"]),
        (
            label_silences(causes, whole, silence_TS, **observation),
            label_silences(either, whole, silence_TS, **observation)["either"],
        ),
    ):
        for own in apart.values():
            np.testing.assert_array_equal(own.at_risk, together.at_risk)
            np.testing.assert_array_equal(own.observed, together.observed)
        np.testing.assert_array_equal(apart["leaves"].onset + apart["complains"].onset, together.onset)


def test_a_task_outside_the_group_knows_nothing_of_it(history: Any) -> None:
    whole = history((0, "a"), (30, "complains"), (50, "leaves"), (60, "b"))
    apart = {"name": "alone", "kind": "hazard", "onset": {"when": LEAVES}, "horizons": ["1h"]}
    source = spec_of(["1h"]).source
    beside = TargetSpec.parse(source | {"tasks": [*source["tasks"], apart]})
    [alone] = labels(TargetSpec.parse({"name": "t", "tasks": [apart]}), whole).values()
    assert cells(labels(beside, whole)["alone"]) == cells(alone) == ["1", "1", "0", "0"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"horizons": ["2h"]},
            r"complains\.horizons: found \['2h'\], expected the horizons \['1h'\] of task leaves, .*'ending'; give",
        ),
        ({"lead": "5m"}, r"complains\.horizons: .* the same horizons and lead"),
        ({"only_when": {"field": "actor", "equals": "bot"}}, r"complains\.only_when: found .*, expected None of task"),
        ({"onset": {"when": COMPLAINS, "at": "last"}}, r"complains\.onset\.at: found 'last', expected 'first' of task"),
        (
            {"competes_in": "endings"},
            r"leaves\.competes_in: found 'ending', expected a group that .* 'endings'",
        ),
        ({"competes_in": None}, r"leaves\.competes_in: found 'ending', .* leave it out where nothing competes"),
        ({"competes_in": ["leaves"]}, r"competes_in: found \['leaves'\], expected text"),
        ({"kind": "classification", "field": "x"}, r"found an unknown key"),
    ],
)
def test_a_group_that_asks_two_questions_is_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        spec_of(["1h"], complains=change)


def test_a_target_without_competition_keeps_its_normal_form() -> None:
    lone = {"name": "leaves", "kind": "hazard", "onset": {"when": LEAVES}, "horizons": ["1h"]}
    spec = TargetSpec.parse({"name": "t", "tasks": [lone]})
    assert spec.source["tasks"] == [lone] and spec.group(spec.tasks[0]) == spec.tasks  # type: ignore[arg-type]
    assert spec_of(["1h"]).hash != spec_of(["1h"], competes_in="exit").hash
