from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml

from forewarn.targets import ClassificationTask, HazardTask, RegressionTask, TargetSpec

SHIPPED = sorted((Path(__file__).resolve().parents[2] / "conf" / "targets").glob("*.yaml"))
ONSET = {"when": {"field": "type", "equals": "escalation.onset"}}
HAZARD = {"name": "escalation", "kind": "hazard", "onset": ONSET, "horizons": ["1d", "ever"]}


def spec(*tasks: dict[str, Any], **fields: Any) -> TargetSpec:
    return TargetSpec.parse({"name": "t", "tasks": list(tasks or [HAZARD]), **fields})


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_target_loads_by_name_and_by_path(path: Path) -> None:
    by_name = TargetSpec.load(path.stem, path.parent)
    assert by_name == TargetSpec.load(path)
    assert by_name.name == path.stem
    assert by_name.description


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_spec_written_and_read_again_is_the_same_spec(path: Path) -> None:
    first = TargetSpec.load(path)
    again = TargetSpec.from_yaml(first.to_yaml())
    assert again == first == pickle.loads(pickle.dumps(first))
    assert again.hash == first.hash


def test_the_hash_follows_the_meaning_not_the_layout() -> None:
    source = {"name": "t", "tasks": [HAZARD]}
    assert TargetSpec.parse(source).hash == TargetSpec.parse(dict(reversed(source.items()))).hash
    assert spec(HAZARD).hash != spec({**HAZARD, "lead": "15m"}).hash
    assert spec(HAZARD).hash != spec({**HAZARD, "onset": {"when": {"field": "type", "equals": "x"}}}).hash


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"horizon": ["1d"]}, r"t\.tasks\[0\]\.horizon: found an unknown key, .* did you mean 'horizons'"),
        ({"kind": "hazzard"}, r"t\.tasks\[0\]\.kind: found 'hazzard', .* did you mean 'hazard'"),
        ({"name": "Next Event"}, r"t\.tasks\[0\]\.name: found 'Next Event', expected lower-case"),
        ({"weight": 0}, r"t\.tasks\[0\]\.weight: found 0.0, expected a number above 0"),
        ({"horizons": "1d"}, r"t\.tasks\[0\]\.horizons: found '1d', expected a list"),
        ({"horizons": ["1d", "4x"]}, r"t\.tasks\[0\]\.horizons\[1\]: found '4x'"),
        ({"onset": {**ONSET, "at": "end"}}, r"t\.tasks\[0\]\.onset\.at: found 'end', expected one of first, last"),
        ({"onset": {"when": {"field": "type"}}}, r"t\.tasks\[0\]\.onset\.when: found nothing, expected exactly one"),
        ({"cooldown": {}}, r"t\.tasks\[0\]\.cooldown: .* expected either until: or for:"),
        ({"cooldown": {"for": "7 days"}}, r"t\.tasks\[0\]\.cooldown\.for: found '7 days', expected a duration"),
        ({"onset": {**ONSET, "at": "last"}, "cooldown": {"for": "7d"}}, r"cooldown: .* a final outcome comes once"),
    ],
)
def test_a_mistake_in_a_task_is_told_with_its_key_path(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        TargetSpec.parse({"name": "t", "tasks": [HAZARD | change]}, "t")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"exclude_input": ["a"]}, r"target\.exclude_input: found an unknown key, .* did you mean 'exclude_inputs'"),
        ({"tasks": []}, r"target\.tasks: found \[\], expected at least one task"),
        ({"tasks": [HAZARD, HAZARD]}, r"target\.tasks: found \['escalation'\], expected a different name"),
        ({"tasks": ["escalation"]}, r"target\.tasks\[0\]: found 'escalation', expected a mapping"),
        ({"exclude_inputs": "made_sla"}, r"target\.exclude_inputs: found 'made_sla', expected a list"),
        (
            {"exclude_inputs": ["a"], "keep_inputs": ["a"]},
            r"target\.keep_inputs: .* no field that exclude_inputs names",
        ),
        ({"complete": False}, r"horizons: found 'ever', .* never shows that no onset comes"),
        ({"complete": "no way"}, r"target\.complete: found 'no way', expected true or false"),
    ],
)
def test_a_mistake_in_a_spec_is_told_with_its_key_path(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        TargetSpec.parse({"name": "t", "tasks": [HAZARD], **fields})


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ({"kind": "classification", "field": "x", "classes": ["a"]}, "classes: .* two or more distinct classes"),
        ({"kind": "classification", "field": "x", "end_class": True}, "end_class: .* expected at: next"),
        ({"kind": "classification", "field": "x", "bins": [3, 4]}, r"bins: .* classes, which must be given"),
        ({"kind": "classification", "field": "x", "classes": ["a", "b"], "bins": [3, 4]}, "bins: .* one fewer"),
        ({"kind": "regression", "field": "x", "unit": "h"}, "unit: found 'h', expected no unit"),
        ({"kind": "regression", "field": "gap", "at": "last"}, "at: found 'last', expected no 'at' for gap"),
        ({"kind": "regression", "field": "gap", "transform": "log"}, "transform: .* did you mean 'log1p'"),
        ({"kind": "next_event", "horizons": ["1d"]}, r"target\.tasks\[0\]\.horizons: found an unknown key"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(task: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        spec({"name": "x", **task})


def test_a_target_that_is_nowhere_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"target: found 'sla_mis', .* did you mean 'sla_miss'"):
        TargetSpec.load("sla_mis", SHIPPED[0].parent)
    with pytest.raises(ValueError, match="there is no target in"):
        TargetSpec.load(tmp_path / "mine.yaml")


def test_a_shipped_target_is_found_by_name_wherever_a_program_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert TargetSpec.load("escalation").name == "escalation"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"horizons": ["1h", "ever"]}, "task escalation: found 1h in clock time, expected counts such as '3 events'"),
        ({"horizons": ["ever"], "lead": "15m"}, "found the lead in clock time"),
        ({"horizons": ["3 events"], "cooldown": {"for": "7d"}}, "found cooldown.for in clock time"),
    ],
)
def test_durations_are_refused_where_the_data_has_no_clock(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        spec(HAZARD | change).check_clockless()


@pytest.mark.parametrize("change", [{"horizons": ["ever"]}, {"horizons": ["1 event"], "cooldown": {"for": "ever"}}])
def test_counts_and_ever_need_no_clock(change: dict[str, Any]) -> None:
    assert spec(HAZARD | change, {"name": "next", "kind": "next_event"}).check_clockless()


def test_text_that_is_not_yaml_is_told_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("name: [unclosed")
    with pytest.raises(ValueError, match=r"mine.yaml: found text that is not YAML"):
        TargetSpec.load(path)


def test_next_event_stands_for_a_class_and_a_gap() -> None:
    kind, gap = spec({"name": "next", "kind": "next_event", "unit": "d", "weight": 0.5}).tasks
    assert isinstance(kind, ClassificationTask)
    assert isinstance(gap, RegressionTask)
    assert (kind.name, kind.field, kind.at, kind.end_class, kind.weight) == ("next_type", "type", "next", True, 0.5)
    assert (gap.name, gap.field, gap.transform, gap.unit, gap.weight) == ("next_gap", "gap", "log1p", "d", 0.5)


def test_fields_that_decide_a_label_are_never_inputs() -> None:
    onset = {"when": {"any": [{"field": "tag", "equals": "vip"}, {"field": "queue", "changes_to": "2nd"}]}}
    hazard = HAZARD | {"onset": onset, "cooldown": {"until": {"field": "state", "equals": "closed"}}}
    rating = {"name": "rating", "kind": "classification", "field": "rating_class", "at": "same"}
    assert spec(hazard, rating).evidence_fields() == {"tag", "queue", "state", "rating_class"}
    kept = spec(hazard, rating, keep_inputs=["queue"], exclude_inputs=["closed_at"])
    assert kept.evidence_fields() == {"tag", "state", "rating_class"}
    assert kept.hidden_inputs() == {"tag", "state", "rating_class", "closed_at"}


def test_the_type_of_past_events_and_fields_labelled_at_the_next_event_stay_inputs() -> None:
    queue = {"name": "queue", "kind": "classification", "field": "queue", "at": "next"}
    only = queue | {"name": "only", "only_when": {"field": "actor", "equals": "customer"}}
    assert spec(HAZARD, queue, only, {"name": "next", "kind": "next_event"}).evidence_fields() == set()
    assert spec({"name": "kind", "kind": "classification", "field": "type"}).evidence_fields() == {"type"}


def test_hidden_and_later_events_are_not_visible(history: Any, at: Any) -> None:
    whole = history((0, "a"), (1, "noise"), (2, "b"), (3, "c"))
    hiding = spec(exclude_events={"field": "type", "equals": "noise"})
    assert [event.type for event in hiding.visible(whole).events] == ["a", "b", "c"]
    assert [event.type for event in hiding.visible(whole, at(2)).events] == ["a", "b"]
    assert hiding.visible(whole, at(-1)).events == []


def test_classes_are_fitted_most_frequent_first_with_the_end_last(history: Any) -> None:
    open_spec = spec({"name": "next", "kind": "classification", "field": "type", "at": "next", "end_class": True})
    fitted = open_spec.with_classes([history((0, "x"), (1, "b"), (2, "b")), history((0, "x"), (1, "a"), (2, "c"))])
    task = fitted.task("next")
    assert isinstance(task, ClassificationTask)
    assert task.classes == ("b", "a", "c", "<end>")
    assert fitted.hash != open_spec.hash
    assert fitted.with_classes([]) is fitted


def test_a_field_without_two_classes_cannot_be_fitted(history: Any) -> None:
    task = {"name": "mood", "kind": "classification", "field": "mood"}
    with pytest.raises(ValueError, match=r"task mood: found \['ok'\], expected at least two classes of field 'mood'"):
        spec(task).with_classes([history((0, "a", {"mood": "ok"}))])


def test_an_unknown_task_name_is_told_with_the_nearest() -> None:
    assert isinstance(spec().task("escalation"), HazardTask)
    with pytest.raises(ValueError, match="did you mean 'escalation'"):
        spec().task("escalations")


def test_the_yaml_of_a_spec_is_plain_yaml() -> None:
    assert yaml.safe_load(spec().to_yaml())["tasks"][0]["horizons"] == ["1d", "ever"]
