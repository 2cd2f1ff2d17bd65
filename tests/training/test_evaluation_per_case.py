"""The evaluation report of a target with `per`: alerts, lead times and ablations belong to the cases of a customer."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml

from forewarn.events import Event, History
from forewarn.events.config import InputsConfig
from forewarn.sequence import EncodedHistory, Featurizer, SequenceConfig
from forewarn.targets import TargetSpec
from training.config import compose
from training.encode import write_split
from training.evaluation.ablations import Ablations, compare
from training.evaluation.alerts import DAY_US, alerts, exposure_us
from training.evaluation.curves import SHARES, ranking_curves
from training.evaluation.outcomes import Outcome, outcomes
from training.evaluation.parts import whole
from training.evaluation.points import Points
from training.evaluation.sample import Sample, reordered, shuffled
from training.labelled import LabelledSplits
from training.measure import SplitRows

TARGET = """
name: refusals
per: case_id
exclude_events: {field: type, equals: closed}
tasks:
  - {name: refused, kind: hazard, onset: {when: {field: outcome, equals: refused}, at: last}, horizons: [ever]}
"""
# Two cases of each customer: case, its split, days of its messages, day on which it is closed, and how.
CASES = [
    ("ann-1", "test", [0, 2, 4, 6], 10, "refused"),
    ("ann-2", "test", [1, 3, 5, 7], 20, "accepted"),  # alternates with ann-1
    ("bob-1", "train", [0, 2], 9, "refused"),  # context of bob-2
    ("bob-2", "test", [1, 3, 4], 5, "refused"),
    ("cat-1", "test", [0, 1, 2], 4, "refused"),
    ("cat-2", "test", [6, 7], 9, "refused"),
    ("dan-1", "test", list(range(17)), 17, "accepted"),
    ("dan-2", "test", list(range(20, 37)), 37, "accepted"),
    ("eve-1", "train", [0, 1], 3, "accepted"),
    ("eve-2", "valid", [5, 6], 8, "refused"),
]
# Six of the 50 test points, a workload of 12 %.
ALERTED = {("ann-1", 2), ("ann-1", 4), ("ann-2", 3), ("ann-2", 5), ("cat-1", 1), ("dan-1", 0)}
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("cases")
    with (made / "events.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["customer_id", "case_id", "type", "occurred_at", "outcome"])
        for case, _, days, end, verdict in CASES:
            for day in [*days, end]:
                kind, moment = "closed" if day == end else "message", START + timedelta(days=day)
                outcome = verdict if day == end else "open"
                rows.writerow([case.partition("-")[0], case, kind, moment.isoformat(), outcome])
    with (made / "splits.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["history_id", "split"], *((case, split) for case, split, *_ in CASES)])
    return made


def outcome_of(folder: Path, out: Path, *, by: str, per: str | None, longest: int) -> Outcome:
    """The test cases with .9 at every alerted point, .1 at every other and 1 at what is only context."""
    config = compose(
        "data=table", f"data.events={folder / 'events.csv'}", f"data.splits={folder / 'splits.csv'}",
        f"data.by={by}", "run=unused",
    )  # fmt: skip
    target = TargetSpec.parse(yaml.safe_load(TARGET) | {"per": per})
    splits = LabelledSplits.open(config.data, target, config.protocol, out / "histories")
    featurizer = fitted(list(splits.visible("train")), longest)
    write_split(splits.labelled("test"), featurizer, None, out / "test.arrow", "test")
    rows = SplitRows.load(out / "test.arrow", target)
    events = {history.history_id: history.events for history in splits.visible("test")}
    tested = {case for case, split, *_ in CASES if split == "test"}
    scores = []
    for window, start in zip(rows.histories, rows.starts, strict=True):
        for event in events[window.history_id][start : start + window.length]:
            key = (event.case_id, (event.occurred_at - START).days)
            scores.append(1.0 if event.case_id not in tested else 0.9 if key in ALERTED else 0.1)
    points = Points.collect(splits, "test", longest, clock=True)
    (found,) = outcomes(target.tasks, rows, {"refused": np.array(scores)[:, None]}, points)
    return found


# A model that reads six events at once sees most histories in windows that overlap, with the same points in them.
@pytest.fixture(scope="module", params=[512, 6], ids=["whole", "in windows"])
def judged(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return outcome_of(folder, tmp_path_factory.mktemp("run"), by="customer_id", per="case_id", longest=request.param)


def fitted(histories: list[History], longest: int = 512) -> Featurizer:
    config = SequenceConfig(min_count=1, max_length=longest)
    return Featurizer.fit(histories, InputsConfig(), config, exclude=set(), text_width=0)


def test_the_points_are_the_events_of_the_cases_of_the_split(judged: Outcome) -> None:
    points = judged.points
    assert (len(points), len(points.ends), len(np.unique(points.history)), len(np.unique(points.customers))) == (
        50, 7, 4, 4,
    )  # fmt: skip
    assert points.counted.sum() == 50
    assert judged.score.max() == 0.9, "bob-1 is context"
    counts = whole(judged, 0, 0)
    assert (counts["rows"], counts["incidents"], counts["customers"]) == (50, 7, 4)
    ends = (points.ends - round(START.timestamp() * 1e6)) / DAY_US
    assert sorted(ends.tolist()) == [4, 5, 9, 10, 17, 20, 37]
    ann = points.customers[ends == 10]
    assert points.prefix[points.customer == ann].tolist() == [1, 1, 2, 2, 3, 3, 4, 4]


def test_a_case_is_recalled_by_an_alert_of_its_own(judged: Outcome) -> None:
    """Of the refused cases ann-1, bob-2, cat-1 and cat-2 the first and third are; their customers would be two of 3."""
    found = alerts(judged, 0, 0)[1]
    assert (found["threshold"], found["workload"]["value"]) == (0.9, 6 / 50)
    assert found["recall_incidents"]["value"] == 2 / 4
    assert found["incidents_alerted"]["value"] == pytest.approx(4 / 7)
    assert found["precision"]["value"] == pytest.approx(3 / 6)
    assert found["recall"]["value"] == pytest.approx(3 / (4 + 3 + 3 + 2))
    workload = ranking_curves(judged, 0, 0)["workload"]
    assert workload["incidents"]["value"][int(np.flatnonzero(np.isclose(SHARES, 0.12))[0])] == 2 / 4


def test_lead_time_runs_to_the_end_of_the_alerted_case(judged: Outcome) -> None:
    """From day 2 to the 10th within ann-1, over which ann-2 goes on; from day 1 to the 4th in the first case of cat."""
    lead = alerts(judged, 0, 0)[1]["lead"]
    assert (lead["onsets"], lead["found"]) == (4, 2)
    assert [lead["seconds"][q]["value"] / 86_400 for q in ("q25", "q50", "q75")] == [3, 3, 8]
    # Within ann-1 two messages and the verdict follow the alert, within cat-1 one and the verdict.
    assert [lead["events"][q]["value"] for q in ("q25", "q50", "q75")] == [2, 2, 3]


def test_a_run_of_false_alerts_stays_within_its_case_and_days_count_once_per_customer(judged: Outcome) -> None:
    """ann-2 is warned of twice running, with alerts of ann-1 in between; dan-1 once."""
    found = alerts(judged, 0, 0)[1]
    assert found["false_alerts"] == 2
    # ann: days 0 to 20, bob: 1 to 5, without the case of training, cat: 4 and 3 days, dan: 17 and 17.
    assert sorted((exposure_us(judged) / DAY_US).tolist()) == [4, 7, 20, 34]
    assert found["false_alerts_per_1000_customer_days"]["value"] == pytest.approx(1_000 * 2 / 65)


def test_where_events_are_counted_the_days_of_a_case_end_with_its_last_point(judged: Outcome) -> None:
    onset = {"when": {"field": "outcome", "equals": "refused"}}
    counted = TargetSpec.parse({
        "name": "t", "tasks": [{"name": "refused", "kind": "hazard", "onset": onset, "horizons": ["1 event"]}],
    })  # fmt: skip
    soon = replace(judged, task=counted.tasks[0])
    # ann: days 0 to 6 and 1 to 7, bob: 1 to 4, cat: 0 to 2 and 6 to 7, dan: 16 and 16.
    assert sorted((exposure_us(soon) / DAY_US).tolist()) == [3, 3, 7, 32]


def test_cases_within_histories_are_reported_as_cases_that_are_histories_of_their_own(
    judged: Outcome, folder: Path, tmp_path: Path
) -> None:
    alone = outcome_of(folder, tmp_path, by="case_id", per=None, longest=512)
    assert len(np.unique(alone.points.history)) == 7
    assert alerts(alone, 20, 0) == alerts(judged, 20, 0)
    assert ranking_curves(alone, 0, 0)["workload"] == ranking_curves(judged, 0, 0)["workload"]


def of_cases(number: int, events: list[tuple[str | None, str]]) -> History:
    """A history of (case, type) an hour apart."""
    name = f"c{number}"
    return History(name, name, [
        Event(
            event_id=f"{name}-{i}", source="test", customer_id=name, case_id=case, type=kind,
            occurred_at=START + timedelta(hours=i), ingested_at=START + timedelta(hours=i),
        )
        for i, (case, kind) in enumerate(events)
    ])  # fmt: skip


def test_what_happened_changes_places_within_its_case() -> None:
    history = of_cases(0, [("x", "a"), ("y", "b"), ("x", "c"), (None, "d"), ("x", "e"), ("y", "f"), (None, "g")])
    sample = Sample.of([(history, np.ones(7, bool))], "case_id")
    rng, seen = np.random.default_rng(0), set()
    for _ in range(200):
        moved = reordered(history.events, shuffled(sample.cases, rng).tolist())
        assert [event.case_id for event in moved] == ["x", "y", "x", None, "x", "y", None]
        assert [event.occurred_at for event in moved] == [event.occurred_at for event in history.events]
        seen.add("".join(event.type for event in moved))
    assert len(seen) == 6 * 2 * 2, "every order within the cases"


def test_a_point_falls_back_on_the_newest_event_left_of_its_case() -> None:
    own = np.array([True, False, True, True, False, True])
    sample = Sample.of(
        [
            (of_cases(0, [("x", "a"), ("y", "a"), ("x", "b"), ("z", "b"), ("y", "a"), ("x", "b")]), own),
            (of_cases(1, [("x", "b"), (None, "a"), ("x", "a")]), np.array([True, False, True])),
        ],
        "case_id",
    )
    kept = np.array([event.type == "a" for history in sample.histories for event in history.events])
    # z has no event left, nor has the first point of the second history, though both come after some of other cases.
    assert sample.newest(kept).tolist() == [0, 0, -1, 0, -1, 8]


def test_a_case_alone_keeps_what_belongs_to_no_other_case() -> None:
    history = of_cases(0, [("x", "a"), (None, "b"), ("y", "c"), ("x", "d"), ("y", "e")])
    other = of_cases(1, [("x", "f")])
    own = np.array([False, False, True, True, True])
    sample = Sample.of([(history, own), (other, np.array([True]))], "case_id")
    alone, event = sample.alone()
    assert ["".join(event.type for event in case.events) for case in alone] == ["abd", "bce", "f"]
    joined = "".join(event.type for case in alone for event in case.events)
    assert "".join(joined[i] for i in event) == "cdef", "each point is found again"


def test_a_shuffled_prefix_is_read_in_the_window_that_it_was_scored_in() -> None:
    history = of_cases(0, [("xy"[i % 2], "ab"[i // 7]) for i in range(14)])
    own = np.arange(14) % 3 > 0

    def place(encoded: Sequence[EncodedHistory]) -> dict[str, np.ndarray]:
        return {"x": np.concatenate([np.arange(window.length) for window in encoded])[:, None]}

    ablations = Ablations(Sample.of([(history, own)], "case_id"), fitted([history], 6), None, place, 0)
    variants = {variant.name: variant for variant in ablations.variants()}
    assert ablations.base["x"][:, 0].tolist() == [1, 2, 4, 5, 4, 5, 4, 5, 4]
    for name in ("earlier events shuffled", "all events shuffled", "time hidden"):
        assert variants[name].rows.tolist() == list(range(9))
        assert (variants[name].scores["x"] == ablations.base["x"]).all()


@pytest.mark.parametrize(
    ("reads", "matters"),
    [
        ("other", {"other cases hidden", "type", "b"}),
        # Without the family "b" the point falls back on the message before it in its own case, not in the other one.
        ("own", {"all events shuffled", "type", "b"}),
    ],
)
def test_hiding_other_cases_costs_exactly_what_they_told(reads: str, matters: set[str]) -> None:
    """Two cases alternate; what happened is told in the other case, or by the newest event of the judged one."""
    label = np.random.default_rng(0).integers(0, 2, 300)
    histories = []
    for i, bad in enumerate(label.tolist()):
        told, calm = "b.bad" if bad else "c.good", "a.fine"
        other, newest = (told, calm) if reads == "other" else (calm, told)
        histories.append(of_cases(i, [("x", other), ("y", calm), ("x", calm), ("y", newest)]))
    featurizer = fitted(histories)
    assert {"case.same", "case.events"} <= featurizer.quantiles.keys()
    column = list(featurizer.vocabularies).index("type")
    token = featurizer.vocabularies["type"].encode(["b.bad"])[0]

    def read(history: EncodedHistory) -> np.ndarray:
        bad = history.categorical[:, column] == token
        return np.where(np.logical_or.accumulate(bad) if reads == "other" else bad, 0.9, 0.1)

    def score(encoded: Sequence[EncodedHistory]) -> dict[str, np.ndarray]:
        return {"x": np.concatenate([read(history) for history in encoded])[:, None]}

    newest = np.array([False, False, False, True])
    sample = Sample.of([(history, newest) for history in histories], "case_id")
    ablations = Ablations(sample, featurizer, None, score, 0)
    number = np.arange(300)
    points = Points(
        counted=np.tile(newest, 300), history=number, incident=number, customer=number, time=number, prefix=number,
        ends=number, untils=number, customers=number, onsets={}, clock=True, per="case_id",
    )  # fmt: skip
    task = TargetSpec.from_yaml(TARGET.replace("refused, kind", "x, kind")).tasks[0]
    one = Outcome(task, 0, points, number, ablations.base["x"][:, 0], label)
    (entries,) = compare(ablations, [one], number, 20, 0)
    assert {entry["name"] for entry in entries if entry["auroc"]["value"] < -0.1} == matters
    assert all(
        entry["auroc"]["value"] == 0 and entry["rows"] == 300 for entry in entries if entry["name"] not in matters
    )
    assert {"time hidden", "running counts", "case relations"} <= {entry["name"] for entry in entries}
