"""Metrics against scikit-learn and against their definition, intervals against what they promise."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, log_loss, roc_auc_score

from forewarn.targets import HazardLabels, TargetSpec
from training.bootstrap import Ranking, estimates
from training.metrics import evaluate_task, headline
from training.report import render_report

ONSET = {"when": {"field": "type", "equals": "x"}}


def task(**fields: Any) -> Any:
    return TargetSpec.parse({"name": "t", "tasks": [{"name": "x", **fields}]}).task("x")


HAZARD = task(kind="hazard", onset=ONSET, horizons=["1d", "ever"])


def once(rows: int) -> np.ndarray:
    return np.ones((1, rows))


def sample(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels that follow them."""
    rng = np.random.default_rng(seed)
    score = rng.uniform(size=rows)
    return score, (rng.uniform(size=rows) < score).astype(np.int8)


# Coarse scores make ties, which is where rank metrics go wrong.
scored = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1)), min_size=2, max_size=40).filter(
    lambda rows: len({label for _, label in rows}) == 2
)


@settings(deadline=None)
@given(rows=scored, counts=st.lists(st.integers(0, 3), min_size=40, max_size=40))
def test_rank_metrics_equal_scikit_learn_for_any_weighting(rows: Any, counts: list[int]) -> None:
    score, label = np.array(rows, dtype=float).T
    score = score / 10 + 0.1
    weight = np.array(counts[: len(score)], dtype=float)
    repeated = np.repeat(np.arange(len(score)), weight.astype(int))
    if len(np.unique(label[repeated])) < 2:
        return
    found = Ranking(score, label)(weight[None])
    for name, reference in (
        ("auroc", roc_auc_score),
        ("auprc", average_precision_score),
        ("brier", brier_score_loss),
        ("log_loss", log_loss),
    ):
        assert found[name][0] == pytest.approx(reference(label[repeated], score[repeated])), name


def test_recall_at_a_workload_counts_the_positives_among_the_top_rows() -> None:
    score = np.linspace(0.99, 0, 100)
    label = np.zeros(100)
    label[[0, 3, 4, 11, 12, 60, 70, 80, 90, 95]] = 1
    found = Ranking(score, label)(once(100))
    assert found["recall_5"][0] == pytest.approx(0.3)
    assert found["recall_12"][0] == pytest.approx(0.4)


def test_rows_that_score_alike_are_worked_through_at_random() -> None:
    found = Ranking(np.full(200, 0.3), np.arange(200) < 20)(once(200))
    assert found["recall_5"][0] == pytest.approx(0.05)
    assert found["auroc"][0] == pytest.approx(0.5)
    assert found["auprc"][0] == pytest.approx(0.1)


def test_an_incident_is_found_when_one_of_its_positive_rows_is_among_the_top_rows() -> None:
    score = np.linspace(0.99, 0, 100)
    label, incident = np.zeros(100), np.arange(100)
    label[[1, 3, 20, 30, 31, 95]] = 1
    incident[[1, 3, 20]] = 1  # found twice, counts once
    incident[[4, 30, 31]] = 4  # its row among the top ones is no positive one
    found = Ranking(score, label, incident)(once(100))
    assert found["incidents_5"][0] == pytest.approx(1 / 3)
    assert found["recall_5"][0] == pytest.approx(2 / 6)
    half = np.where(np.arange(100) == 1, 0.99, score)  # now two rows share the first place, one of them a calm one
    assert Ranking(half, label, incident)(once(100))["incidents_5"][0] == pytest.approx(1 / 3)


def test_an_incident_with_more_positive_rows_is_likelier_found_among_rows_that_score_alike() -> None:
    label = np.arange(2_000) < 300
    incident = np.r_[np.zeros(200), np.arange(1, 101), np.arange(101, 1_801)].astype(int)  # one of 200 rows
    found = Ranking(np.full(2_000, 0.3), label, incident)(once(2_000))
    assert found["incidents_5"][0] == pytest.approx((1 + 100 * 0.05) / 101, abs=1e-3)


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1), st.integers(0, 4)), min_size=5, max_size=40),
    counts=st.lists(st.integers(0, 3), min_size=5, max_size=5),
)
def test_drawing_an_incident_twice_is_having_two_of_it(rows: Any, counts: list[int]) -> None:
    score, label, incident = np.array(rows).T
    copies = np.array(counts)[incident]
    if not (copies * label).sum():
        return
    repeated = np.repeat(np.arange(len(rows)), copies)
    copy = np.concatenate([np.arange(count) for count in copies])
    weighted = Ranking(score / 10, label, incident).incidents(copies[None].astype(float))
    plain = Ranking(score[repeated] / 10, label[repeated], incident[repeated] * 10 + copy).incidents(
        once(len(repeated))
    )
    for name in ("incidents_5", "incidents_12"):
        assert weighted[name][0] == pytest.approx(plain[name][0])


def naive_ece(score: np.ndarray, label: np.ndarray) -> float:
    """Fifteen bins of equal mass, one by one; scores must be distinct and a multiple of fifteen."""
    order = np.argsort(score)
    return float(sum(len(own) / len(score) * abs(label[own].mean() - score[own].mean())
                     for own in np.split(order, 15)))  # fmt: skip


def test_ece_is_the_mean_gap_over_bins_of_equal_mass() -> None:
    score, label = sample(1_500)
    assert Ranking(score, label)(once(1_500))["ece"][0] == pytest.approx(naive_ece(score, label), abs=2e-3)


def test_a_constant_score_has_one_bin() -> None:
    label = np.arange(300) % 3 == 0
    assert Ranking(np.full(300, 0.5), label)(once(300))["ece"][0] == pytest.approx(0.5 - 1 / 3)


def test_calibrated_scores_have_a_small_ece_and_distorted_ones_a_large() -> None:
    score, label = sample(20_000)
    honest = Ranking(score, label)(once(20_000))["ece"][0]
    bold = Ranking(score**3, label)(once(20_000))["ece"][0]
    assert honest < 0.02 < 0.2 < bold


def test_a_clustered_interval_covers_the_truth_and_an_unclustered_one_is_too_narrow() -> None:
    # Ten alike rows per customer: the truth is the mean over customers, of which there are only sixty.
    covered = {"customer": 0, "row": 0}
    for trial in range(60):
        rng = np.random.default_rng(trial)
        value = np.repeat(rng.normal(size=60), 10)
        for name, clusters in (("customer", np.repeat(np.arange(60), 10)), ("row", np.arange(600))):
            found = estimates(lambda w, v=value: {"mean": w @ v / w.sum(axis=1)}, clusters, 200, trial)["mean"]
            assert found["low"] is not None
            assert found["high"] is not None
            covered[name] += found["low"] <= 0 <= found["high"]
    assert covered["customer"] >= 52
    assert covered["row"] < 40


def test_resampling_depends_on_the_seed_only() -> None:
    score, label = sample(300)
    clusters = np.arange(300) // 3
    found = [estimates(Ranking(score, label), clusters, 50, seed) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    assert found[0]["auroc"]["value"] == found[2]["auroc"]["value"]


def hazard_rows(rows: int, seed: int = 0) -> tuple[np.ndarray, HazardLabels, np.ndarray, np.ndarray]:
    risk, within = sample(rows, seed)
    onset = np.zeros((rows, 2), np.int8)
    onset[:, 1] = within
    at_risk = np.ones((rows, 2), bool)
    return (
        np.stack([risk / 2, risk], axis=1),
        HazardLabels(onset, at_risk),
        np.arange(rows) // 4,
        np.arange(rows) % 4 + 1,
    )


def test_a_hazard_task_is_measured_per_horizon_on_rows_with_known_outcome() -> None:
    risk, labels, clusters, prefix = hazard_rows(400)
    labels.at_risk[:40, 1] = labels.onset[:40, 1] = False
    found = evaluate_task(HAZARD, risk, labels, clusters=clusters, prefix=prefix, resamples=50)
    ever = found["horizons"]["ever"]
    assert (found["horizons"]["1d"]["rows"], ever["rows"], ever["clusters"]) == (400, 360, 90)
    assert ever["prevalence"] == pytest.approx(labels.onset[40:, 1].mean())
    assert ever["auroc"]["value"] == pytest.approx(roc_auc_score(labels.onset[40:, 1], risk[40:, 1]))
    assert ever["auroc"]["low"] < ever["auroc"]["value"] < ever["auroc"]["high"]
    incidents, rows = ever["incidents_12"], ever["recall_12"]
    assert incidents["low"] < incidents["value"] < incidents["high"]
    assert incidents["value"] > rows["value"], "an incident of up to four positive rows needs to be found once"


def test_auroc_is_told_per_prefix_length_for_both_cohorts() -> None:
    risk, labels, clusters, prefix = hazard_rows(400)
    keep = ~((clusters % 2 == 0) & (prefix == 4))  # every other history has three events only
    labels = HazardLabels(labels.onset[keep], labels.at_risk[keep])
    found = evaluate_task(HAZARD, risk[keep], labels, clusters=clusters[keep], prefix=prefix[keep], resamples=20)
    entries = found["horizons"]["ever"]["by_prefix"]
    assert [entry["k"] for entry in entries] == [1, 2, 3, 4]
    assert [entry["variable"]["rows"] for entry in entries] == [100, 100, 100, 50]
    assert [entry["fixed"]["rows"] for entry in entries] == [50, 50, 50, 50]
    first = prefix[keep] == 1
    expected = roc_auc_score(labels.onset[first, 1], risk[keep][first, 1])
    assert entries[0]["variable"]["auroc"]["value"] == pytest.approx(expected)


def test_what_is_undefined_is_null_in_json() -> None:
    risk, labels, clusters, prefix = hazard_rows(40)
    found = evaluate_task(HAZARD, risk, labels, clusters=clusters, prefix=prefix, resamples=10)
    for name in ("auroc", "incidents_12"):
        assert found["horizons"]["1d"][name] == {"value": None, "low": None, "high": None}
    json.dumps(found, allow_nan=False)


def test_a_horizon_without_known_rows_says_so() -> None:
    risk, labels, clusters, prefix = hazard_rows(40)
    labels.at_risk[:, 1] = labels.onset[:, 1] = False
    found = evaluate_task(HAZARD, risk, labels, clusters=clusters, prefix=prefix, resamples=10)
    assert found["horizons"]["ever"] == {"rows": 0, "clusters": 0, "positives": 0}
    assert headline(found) == {"auroc_ever": None}
    assert "ever" in render_report({"prior": {"x": found}})


def test_classes_are_measured_like_scikit_learn_does_and_unlabelled_rows_are_left_out() -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(-1, 3, 300)
    probability = rng.dirichlet([1, 1, 1], 300)
    mood = task(kind="classification", field="mood", classes=["low", "mid", "high"])
    found = evaluate_task(mood, probability, label, clusters=np.arange(300), prefix=np.ones(300, int), resamples=50)
    known = label >= 0
    guess = probability.argmax(axis=1)
    assert found["rows"] == known.sum()
    assert found["accuracy"]["value"] == pytest.approx((guess == label)[known].mean())
    assert found["macro_f1"]["value"] == pytest.approx(f1_score(label[known], guess[known], average="macro"))
    assert found["log_loss"]["value"] == pytest.approx(log_loss(label[known], probability[known]))
    assert sum(found["prevalence"].values()) == pytest.approx(1)


def test_an_error_in_time_is_told_in_its_own_unit() -> None:
    remaining = task(kind="regression", field="remaining_time", unit="d", transform="log1p")
    label = np.log1p(np.array([1.0, 4.0, np.nan]))
    guess = np.log1p(np.array([2.0, 1.0, 9.0]))
    found = evaluate_task(remaining, guess, label, clusters=np.arange(3), prefix=np.ones(3, int), resamples=10)
    assert (found["rows"], found["unit"]) == (2, "d")
    assert found["mae"]["value"] == pytest.approx(2.0)
    assert headline(found) == {"mae": pytest.approx(2.0)}


def test_rows_that_do_not_match_are_refused() -> None:
    risk, labels, clusters, prefix = hazard_rows(40)
    with pytest.raises(ValueError, match="task x: found 39 predictions, 40 clusters and 40 prefixes"):
        evaluate_task(HAZARD, risk[1:], labels, clusters=clusters, prefix=prefix)


def test_seventeen_thousand_rows_with_two_hundred_resamples_take_seconds() -> None:
    risk, labels, clusters, prefix = hazard_rows(17_000)
    started = time.process_time()
    evaluate_task(HAZARD, risk, labels, clusters=clusters, prefix=prefix, resamples=200)
    assert time.process_time() - started < 10


def test_a_report_shows_models_in_order_with_intervals_and_published_rows_marked() -> None:
    risk, labels, clusters, prefix = hazard_rows(400)
    measured = evaluate_task(HAZARD, risk, labels, clusters=clusters, prefix=prefix, resamples=20)
    results = {name: {"x": measured} for name in ("transformer", "lightgbm", "prior", "rule", "logistic")}
    report = render_report(results, {"x": {"Some paper": [0.7, 0.8]}})
    assert report == render_report(dict(reversed(results.items())), {"x": {"Some paper": [0.7, 0.8]}})
    table = report[report.index("### x, ever") :].splitlines()
    models = [line.split(" | ")[0].strip("| ") for line in table[4:11]]
    assert models == ["model", "---", "prior", "rule", "logistic", "LightGBM", "transformer"]
    assert "| recall at 12 % | incidents at 5 % | incidents at 12 % |" in table[4]
    assert "| Some paper (published) | .700 | .800 | - | - |" in table
    auroc = measured["horizons"]["ever"]["auroc"]
    assert f"{auroc['value']:.3f} [{auroc['low']:.3f}, {auroc['high']:.3f}]".replace("0.", ".") in table[6]
