"""The evaluation report: planted facts show up in its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from forewarn.events import Event, History
from forewarn.events.config import InputsConfig
from forewarn.sequence import EncodedHistory, Featurizer, SequenceConfig
from forewarn.targets import NextOnset, TargetSpec
from training.bootstrap import Ranking, estimates
from training.evaluation.ablations import Ablations, compare
from training.evaluation.alerts import DAY_US, alerts, exposure_us
from training.evaluation.curves import SHARES, ranking_curves, reliability
from training.evaluation.outcomes import Outcome
from training.evaluation.parts import by_class, by_month, by_quantile, slices
from training.evaluation.points import Points
from training.evaluation.sample import Sample, draw

START = datetime(2026, 1, 1, tzinfo=UTC)
START_US = round(START.timestamp() * 1e6)
ONSET = {"when": {"field": "type", "equals": "bad.onset"}}


def task(kind: str = "hazard", **fields: Any) -> Any:
    fields = {"onset": ONSET, "horizons": ["ever"]} if kind == "hazard" and not fields else fields
    return TargetSpec.parse({"name": "t", "tasks": [{"name": "x", "kind": kind, **fields}]}).task("x")


def points(
    history: Sequence[int],
    days: Sequence[float],
    *,
    customers: Sequence[int] | None = None,
    ends: Sequence[float] | None = None,
    onset: Sequence[int] | None = None,
    lead: Sequence[float] | None = None,
    until: float = 10_000.0,
) -> Points:
    """Points of numbered histories, all times in days; `onset` and `lead` tell what lies ahead of each."""
    own, size = np.array(history), max(history) + 1
    customer_H = np.arange(size) if customers is None else np.array(customers)
    last = [max(day for h, day in zip(history, days, strict=True) if h == i) for i in range(size)]
    number = np.full(len(own), -1) if onset is None else np.array(onset)
    span = np.full(len(own), -1) if lead is None else np.rint(np.array(lead) * DAY_US).astype(np.int64)
    ahead = NextOnset(number, span, np.where(number >= 0, 1, -1))
    return Points(
        counted=np.ones(len(own), bool),
        history=own,
        incident=own,
        customer=customer_H[own],
        time=START_US + np.rint(np.array(days) * DAY_US).astype(np.int64),
        prefix=np.array([sum(h == own[i] for h in own[: i + 1]) for i in range(len(own))]),
        ends=START_US + np.rint(np.array(last if ends is None else ends) * DAY_US).astype(np.int64),
        untils=np.full(size, START_US + round(until * DAY_US)),
        customers=customer_H,
        onsets={"x": ahead},
        clock=True,
        per=None,
    )


def outcome(own: Points, score: Any, label: Any, of: Any = None, k: int = 0) -> Outcome:
    return Outcome(of or task(), k, own, np.arange(len(own)), np.asarray(score), np.asarray(label))


def planted(rows: int = 4_000, seed: int = 0) -> Outcome:
    """Scores that are exactly the chance of their label, one point per customer."""
    rng = np.random.default_rng(seed)
    score = rng.uniform(size=rows)
    return outcome(points(range(rows), np.zeros(rows)), score, (rng.uniform(size=rows) < score).astype(np.int8))


def test_calibrated_scores_lie_on_the_diagonal_and_overstated_ones_below_it() -> None:
    honest = planted()
    found = reliability(honest, 100, 0)
    observed = found["observed"]
    inside = [a <= s <= b for s, a, b in zip(found["score"], observed["low"], observed["high"], strict=True)]
    assert len(inside) == 15 and sum(inside) >= 12
    assert sum(found["histogram"]["positive"]) == honest.label.sum()
    bold = reliability(outcome(honest.points, honest.score**0.3, honest.label), 100, 0)
    assert all(high < score for score, high in zip(bold["score"][:10], bold["observed"]["high"], strict=False))


def test_curves_agree_with_the_measures_and_histories_are_found_before_points() -> None:
    own = planted(600)
    paired = outcome(points(np.repeat(np.arange(300), 2).tolist(), np.zeros(600)), own.score, own.label)
    found = ranking_curves(paired, 20, 0)
    recall_12 = estimates(paired.metric(), paired.clusters, 0, 0)["recall_12"]["value"]
    at = int(np.flatnonzero(np.isclose(SHARES, 0.12))[0])
    assert found["workload"]["points"]["value"][at] == pytest.approx(recall_12, abs=1e-6)
    incidents = Ranking(paired.score, paired.label, paired.incidents).incidents(np.ones((1, 600)))["incidents_12"]
    assert found["workload"]["incidents"]["value"][at] == pytest.approx(incidents[0], abs=1e-6)
    assert found["workload"]["incidents"]["value"][at] > recall_12
    assert found["workload"]["points"]["value"][-1] == found["workload"]["incidents"]["value"][-1] == 1.0
    assert found["precision_recall"]["precision"]["value"][-1] >= own.label.mean()
    low, high = (found["workload"]["points"][end][at] for end in ("low", "high"))
    assert low < recall_12 < high


def test_points_of_equal_score_are_alerted_together() -> None:
    flat = outcome(points(range(10), [0.0] * 10), [0.5] * 10, [0, 1] * 5)
    recall = ranking_curves(flat, 0, 0)["workload"]["points"]["value"]
    assert set(recall[:-1]) == {0.0} and recall[-1] == 1.0
    assert alerts(flat, 0, 0)[0]["workload"]["value"] == 1.0


def test_lead_time_runs_from_the_first_right_alert_to_the_onset() -> None:
    # History 0 is alerted 5 and 2 days ahead, history 1 one day ahead, history 2 never; two calm ones are alerted.
    history = [0, 0, 0, 1, 1, 2, *range(3, 97)]
    days = [0, 1, 4, 0, 8, 0] + [0] * 94
    score = [0.1, 0.9, 0.95, 0.2, 0.91, 0.3] + [0.8] * 2 + [0.0] * 92
    label = [1] * 6 + [0] * 94
    onset, lead = [0] * 6 + [-1] * 94, [6, 5, 2, 9, 1, 7] + [-1] * 94
    found = alerts(outcome(points(history, days, onset=onset, lead=lead), score, label), 0, 0)[0]
    assert (found["share"], found["threshold"], found["workload"]["value"]) == (0.05, 0.8, 0.05)
    assert (found["lead"]["onsets"], found["lead"]["found"], found["false_alerts"]) == (3, 2, 2)
    assert found["recall_incidents"]["value"] == pytest.approx(2 / 3)
    assert found["recall"]["value"] == pytest.approx(3 / 6) and found["precision"]["value"] == pytest.approx(3 / 5)
    seconds = found["lead"]["seconds"]
    assert [seconds[q]["value"] / 86_400 for q in ("q25", "q50", "q75")] == [1.0, 1.0, 5.0]
    share = dict(zip(seconds["notice"], seconds["share"]["value"], strict=True))
    assert share[0.0] == pytest.approx(2 / 3) and share[172_800.0] == pytest.approx(1 / 3)
    assert share[604_800.0] == 0.0


def test_a_run_of_wrong_alerts_counts_once_and_days_count_once_per_customer() -> None:
    # Histories 0 and 1 belong to one customer and overlap: days 0 to 10 and 5 to 20 are 20 days, not 25.
    history, days = [0, 0, 0, 0, 1, 1] + [2] * 94, [0, 1, 2, 10, 5, 20, *np.linspace(0, 80, 94)]
    own = points(history, days, customers=[0, 0, 1])
    score = [0.9, 0.9, 0.1, 0.9, 0.9, 0.9] + [0.0] * 94
    wrong = outcome(own, score, [0] * 100)
    assert exposure_us(wrong) / DAY_US == pytest.approx([20.0, 80.0])
    found = alerts(wrong, 0, 0)[0]
    assert found["threshold"] == 0.9 and found["false_alerts"] == 3, "two runs in history 0, one in history 1"
    assert found["false_alerts_per_1000_customer_days"]["value"] == pytest.approx(1_000 * 3 / 100)
    right = outcome(own, score, [0, 1, 0, 0, 0, 0] + [0] * 94)
    assert alerts(right, 0, 0)[0]["false_alerts"] == 2, "a run with a right alert in it is no false one"


def test_exposure_in_clock_time_ends_a_horizon_before_the_data() -> None:
    own = points([0, 0], [0, 1], ends=[30], until=30)
    week = outcome(own, [0.1, 0.2], [0, 1], task(horizons=["7d"], onset=ONSET))
    assert exposure_us(week) / DAY_US == pytest.approx([23.0])
    assert exposure_us(outcome(own, [0.1, 0.2], [0, 1])) / DAY_US == pytest.approx([30.0])


def test_a_month_whose_scores_stop_meaning_anything_stands_out() -> None:
    rng = np.random.default_rng(0)
    own = points(range(600), np.repeat([3.0, 40.0], 300))
    label = rng.integers(0, 2, 600)
    score = np.where(np.arange(600) < 300, 0.2 + 0.6 * label, rng.uniform(size=600))
    january, february = by_month(outcome(own, score, label), 50, 0) or []
    assert (january["month"], february["month"]) == ("2026-01", "2026-02")
    assert january["auroc"]["value"] == 1.0 and february["auroc"]["low"] < 0.5 < february["auroc"]["high"]
    assert january["rows"] == 300 and january["prevalence"]["value"] == pytest.approx(label[:300].mean())


def test_the_slice_where_a_model_fails_is_found_and_a_small_one_is_not_judged() -> None:
    rng = np.random.default_rng(0)
    histories = [ordered(i, ["a.x"], region=("north", "south", "pole")[0 if i < 300 else 1 if i < 590 else 2])
                 for i in range(600)]  # fmt: skip
    featurizer = fitted(histories)
    token = np.concatenate([encoded.categorical for encoded in featurizer.encode(histories)])
    label = rng.integers(0, 2, 600)
    score = np.where(np.arange(600) < 300, 0.2 + 0.6 * label, rng.uniform(size=600))
    found, _ = slices(outcome(points(range(600), np.zeros(600)), score, label), featurizer, token, 50, 0)
    region = next(group for group in found if group["field"] == "region")
    north, south = region["values"]
    assert (north["value"], north["auroc"]["value"]) == ("north", 1.0)
    assert (south["value"], south["rows"]) == ("south", 290) and south["auroc"]["high"] < 0.7
    assert region["too_small"] == {"values": 1, "rows": 10}


def ordered(number: int, types: Sequence[str], **attributes: str) -> History:
    events = [
        Event(
            event_id=f"{number}-{i}", source="test", customer_id=f"c{number}", type=kind, attributes=dict(attributes),
            occurred_at=START + timedelta(hours=i), ingested_at=START + timedelta(hours=i),
        )
        for i, kind in enumerate(types)
    ]  # fmt: skip
    return History(f"h{number}", f"c{number}", events)


def fitted(histories: Sequence[History]) -> Featurizer:
    return Featurizer.fit(histories, InputsConfig(), SequenceConfig(min_count=1), exclude=set(), text_width=0)


@pytest.mark.parametrize(
    ("reads", "matters"),
    [
        ("order", {"all events shuffled", "earlier events shuffled", "type", "a", "b"}),
        # Without the family "a" a single event is left, and with it no gap.
        ("clock", {"time hidden", "a"}),
        ("region", {"region"}),
    ],
)
def test_an_ablation_costs_exactly_what_the_score_rests_on(reads: str, matters: set[str]) -> None:
    """Each history is three events; its label is read off their order, their time or a field, and nothing else."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 400)
    histories = []
    for i, label in enumerate(labels.tolist()):
        start = ["a.x", "b.x"] if label or reads != "order" else ["b.x", "a.x"]
        region = ("north", "south")[label] if reads == "region" else ("north", "south")[i % 2]
        history = ordered(i, [*start, "a.y"], region=region)
        if reads == "clock":
            late = timedelta(days=3 * label)
            moved = [Event(**{f: getattr(e, f) for f in e.__struct_fields__} | {
                "occurred_at": e.occurred_at + late * j, "ingested_at": e.ingested_at + late * j,
            }) for j, e in enumerate(history.events)]  # fmt: skip
            history = History(history.history_id, history.customer_id, moved)
        histories.append(history)
    featurizer = fitted(histories)
    fields, numeric = list(featurizer.vocabularies), list(featurizer.quantiles)
    kinds = featurizer.vocabularies["type"].encode(["a.x", "b.x"])
    south = featurizer.vocabularies["region"].encode(["south"])[0]

    def read(history: EncodedHistory) -> np.ndarray:
        if reads == "order":
            token = history.categorical[:, fields.index("type")]
            pairs = [np.isin(kinds, token[: t + 1]).all() for t in range(len(token))]
            places = [int(np.flatnonzero(token == kind)[0]) if kind in token else 9 for kind in kinds]
            return np.array([0.9 if pair and places[0] < places[1] else 0.1 for pair in pairs])
        if reads == "clock":
            gap = history.numeric[:, numeric.index("time.gap_s")]
            return np.where(np.nan_to_num(gap, nan=-1.0) > 0, 0.9, 0.1)
        return np.where(history.categorical[:, fields.index("region")] == south, 0.9, 0.1)

    def score(encoded: Sequence[EncodedHistory]) -> dict[str, np.ndarray]:
        return {"x": np.concatenate([read(history) for history in encoded])[:, None]}

    number = np.repeat(np.arange(400), 3)
    own = points(number.tolist(), np.zeros(1_200))
    last = np.arange(2, 1_200, 3)
    sample = Sample.of([(history, np.ones(3, bool)) for history in histories], None)
    ablations = Ablations(sample, featurizer, None, score, 0)
    judged = Outcome(task(), 0, own, last, ablations.base["x"][last, 0], labels)
    assert estimates(judged.metric(), judged.clusters, 0, 0)["auroc"]["value"] == 1.0
    (entries,) = compare(ablations, [judged], np.arange(1_200), 50, 0)
    lost = {entry["name"] for entry in entries if entry["auroc"]["value"] < -0.1}
    assert lost == matters
    for entry in entries:
        if entry["name"] in matters:
            assert entry["auroc"]["value"] == pytest.approx(-0.5, abs=0.26) and entry["auroc"]["high"] < 0
        else:
            assert entry["auroc"]["value"] == 0.0


def test_a_sample_takes_whole_histories_up_to_its_size() -> None:
    chosen = draw(np.full(1_000, 50), 0)
    assert len(chosen) == 400 and (np.diff(chosen) > 0).all()
    assert draw(np.array([10**6]), 0).tolist() == [0]


def test_classes_are_counted_truth_by_guess() -> None:
    of = task("classification", field="mood", at="same", classes=["calm", "cross"])
    probability = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]])
    own = outcome(points(range(4), [0.0] * 4), probability, np.array([0, 0, 1, 1]), of)
    found = by_class(own, 0, 0)
    assert found["confusion"] == [[1, 1], [1, 1]] and found["f1"]["value"] == [0.5, 0.5]


def test_errors_of_a_regression_are_told_by_size_in_its_own_unit() -> None:
    of = task("regression", field="remaining_time", unit="d", transform="log1p")
    true = np.linspace(1, 100, 500)
    own = outcome(points(range(500), [0.0] * 500), np.log1p(true + 2), np.log1p(true), of)
    groups = by_quantile(own, 0, 0)
    assert len(groups) == 10
    assert [group["mae"]["value"] for group in groups] == pytest.approx([2.0] * 10)
    assert [group["bias"]["value"] for group in groups] == pytest.approx([2.0] * 10)
