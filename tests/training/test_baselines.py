"""Baselines on small synthetic histories whose signal is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forewarn.sequence import EncodedHistory
from forewarn.targets import HazardLabels, TargetSpec
from training.aggregates import Aggregates, Rows
from training.baselines import FLAT
from training.baselines import fit_baselines as fit_all
from training.config import BoostingConfig
from training.metrics import evaluate_task


def fit_baselines(*arguments: Any, **others: Any) -> Any:
    """The baselines with one candidate and one seed, which is all these tests need."""
    return fit_all(*arguments, **others, boosting=BoostingConfig(candidates=1, seeds=1))


def encoded(categorical: Any, numeric: Any, text: np.ndarray | None = None, name: str = "h") -> EncodedHistory:
    length = len(categorical)
    return EncodedHistory(
        history_id=name,
        event_ids=tuple(str(i) for i in range(length)),
        categorical=np.asarray(categorical, np.int32),
        numeric=np.asarray(numeric, np.float32),
        position=np.arange(length, dtype=np.float32),
        text_index=np.zeros(length, np.int32) if text is None else np.arange(1, length + 1, dtype=np.int32),
        text_vectors=np.zeros((0, 4), np.float32) if text is None else text.astype(np.float32),
    )


def histories(number: int, seed: int, *, text: bool = False) -> list[EncodedHistory]:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 9, number)
    return [
        encoded(
            rng.integers(2, 6, (length, 2)),
            np.where(rng.uniform(size=(length, 2)) < 0.2, np.nan, rng.normal(size=(length, 2))),
            rng.normal(size=(length, 4)) if text else None,
            name=f"h{i}",
        )
        for i, length in enumerate(lengths)
    ]


def task(**fields: Any) -> Any:
    return TargetSpec.parse({"name": "t", "tasks": [{"name": "x", **fields}]}).task("x")


HAZARD = task(kind="hazard", onset={"when": {"field": "type", "equals": "x"}}, horizons=["1d", "ever"])
MOOD = task(kind="classification", field="mood", classes=["low", "mid", "high"])
VALUE = task(kind="regression", field="value")


def with_labels(kind: str, number: int, seed: int) -> Rows:
    """Token 2 of the first field raises the risk, chooses the class and moves the number."""
    rng = np.random.default_rng(100 + seed)
    given, labels = histories(number, seed), []
    for history in given:
        token = history.categorical[:, 0]
        if kind == "hazard":
            first = rng.uniform(size=len(token)) < np.where(token == 2, 0.5, 0.1)
            second = ~first & (rng.uniform(size=len(token)) < 0.2)
            labels.append(
                HazardLabels(np.stack([first, second], 1).astype(np.int8), np.stack([np.ones_like(first), ~first], 1))
            )
        elif kind == "classification":
            labels.append(np.where(rng.uniform(size=len(token)) < 0.8, token % 3, rng.integers(-1, 3, len(token))))
        else:
            labels.append((token + rng.normal(0, 0.3, len(token))).astype(np.float32))
    return Rows(given, labels)


def measure(target: Any, predict: Any, rows: Rows) -> dict[str, Any]:
    found = evaluate_task(
        target, predict(rows), rows.label(), clusters=rows.clusters(), prefix=rows.prefix(), resamples=0
    )
    return found["horizons"]["1d"] if target.kind == "hazard" else found


@pytest.mark.parametrize(
    ("target", "metric", "better"), [(HAZARD, "log_loss", -1), (MOOD, "accuracy", 1), (VALUE, "mae", -1)]
)
def test_every_model_that_looks_beats_the_prior(target: Any, metric: str, better: int) -> None:
    train, valid, test = (with_labels(target.kind, number, i) for i, number in enumerate((500, 120, 200)))
    values = {
        name: better * measure(target, predict, test)[metric]["value"]
        for name, predict in fit_baselines(train, valid, target).items()
    }
    assert list(values) == list(FLAT)
    if target.kind == "hazard":
        # The rule of a hazard task is a threshold on a number, and here a token carries the signal.
        values.pop("rule")
    assert min(values, key=lambda name: values[name]) == "prior", values


def test_risks_are_shares_that_never_fall_with_the_horizon() -> None:
    train, valid, test = (with_labels("hazard", number, i) for i, number in enumerate((300, 80, 100)))
    for name, predict in fit_baselines(train, valid, HAZARD).items():
        risk = predict(test)
        assert risk.shape == (len(test.prefix()), 2), name
        assert ((risk >= 0) & (risk <= 1)).all(), name
        assert (np.diff(risk, axis=1) >= 0).all(), name


def test_the_rule_finds_the_one_number_that_matters() -> None:
    def rows(number: int, seed: int) -> Rows:
        given, labels = histories(number, seed), []
        for history in given:
            high = np.nan_to_num(history.numeric[:, 1], nan=-9) > 0.5
            onset = np.stack([high, np.zeros_like(high)], axis=1).astype(np.int8)
            labels.append(HazardLabels(onset, np.stack([np.ones_like(high), ~high], axis=1)))
        return Rows(given, labels)

    predict = fit_baselines(rows(300, 0), rows(50, 1), HAZARD, names=["rule"])["rule"]
    # The last known value is carried forward over missing ones, so the rule is not perfect.
    assert measure(HAZARD, predict, rows(100, 2))["auroc"]["value"] > 0.9


def test_shuffled_training_labels_leave_nothing_to_learn() -> None:
    def shuffled(rows: Rows) -> Rows:
        whole = rows.label()
        assert isinstance(whole, HazardLabels)
        order = np.random.default_rng(7).permutation(len(whole.onset))
        ends = np.cumsum([history.length for history in rows.histories])[:-1]
        parts = zip(np.split(whole.onset[order], ends), np.split(whole.at_risk[order], ends), strict=True)
        return Rows(rows.histories, [HazardLabels(*part) for part in parts])

    train, valid, test = (with_labels("hazard", number, i) for i, number in enumerate((500, 150, 400)))
    for name, predict in fit_baselines(shuffled(train), shuffled(valid), HAZARD).items():
        assert measure(HAZARD, predict, test)["auroc"]["value"] == pytest.approx(0.5, abs=0.06), name


def test_masked_rows_neither_train_nor_are_predicted() -> None:
    train, valid = with_labels("hazard", 300, 0), with_labels("hazard", 80, 1)
    masks = [np.arange(history.length) < 3 for history in train.histories]
    cut = [label.onset[:3] for label in train.labels if isinstance(label, HazardLabels)]
    short = Rows(train.histories, train.labels, masks)
    prior = fit_baselines(short, valid, HAZARD, names=["prior"])["prior"](short)
    assert len(prior) == len(short.prefix()) == len(short.clusters()) == sum(map(sum, masks))
    assert short.prefix().max() == 3
    assert prior[0, 0] == pytest.approx(np.concatenate(cut)[:, 0].mean())


def test_rows_of_several_cases_count_events_within_their_case() -> None:
    given = [
        encoded(np.zeros((4, 1)), np.zeros((4, 1)), name="a"),
        encoded(np.zeros((2, 1)), np.zeros((2, 1)), name="b"),
    ]
    labels = [np.array([0, 1, -1, 2]), np.array([1, 0])]
    cases, prefixes = [np.array([0, 1, -1, 0]), np.array([0, 1])], [np.array([1, 1, 0, 2]), np.array([1, 1])]
    rows = Rows(given, labels, cases=cases, prefixes=prefixes)
    assert rows.prefix().tolist() == [1, 1, 0, 2, 1, 1]
    assert rows.clusters().tolist() == [0, 0, 0, 0, 1, 1]
    number = rows.case().tolist()
    assert number[0] == number[3] and len(set(number)) == 5, "cases of two histories are never the same"
    plain = Rows(given, labels)
    assert plain.prefix().tolist() == [1, 2, 3, 4, 1, 2]
    assert plain.case().tolist() == plain.clusters().tolist()


def test_the_same_seed_gives_the_same_predictions() -> None:
    train, valid, test = (with_labels("classification", number, i) for i, number in enumerate((200, 60, 60)))
    first, again = (fit_baselines(train, valid, MOOD, seed=3) for _ in range(2))
    for name in FLAT:
        np.testing.assert_array_equal(first[name](test), again[name](test))


def test_classes_that_training_never_met_keep_their_column() -> None:
    train, valid = with_labels("classification", 200, 0), with_labels("classification", 60, 1)
    only = Rows(train.histories, [np.where(label == 2, 0, label) for label in train.labels])  # type: ignore[operator]
    for name, predict in fit_baselines(only, valid, MOOD).items():
        probability = predict(valid)
        assert probability.shape[1] == 3, name
        assert probability.sum(axis=1) == pytest.approx(1.0), name


def test_an_unknown_baseline_or_a_task_without_labels_is_refused() -> None:
    train, valid = with_labels("classification", 30, 0), with_labels("classification", 20, 1)
    with pytest.raises(ValueError, match="baselines: found 'xgboost', expected some of prior, rule"):
        fit_baselines(train, valid, MOOD, names=["xgboost"])
    nothing = Rows(train.histories, [np.full(history.length, -1) for history in train.histories])
    with pytest.raises(ValueError, match="task x: found no labelled training row"):
        fit_baselines(nothing, valid, MOOD)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1_000), text=st.booleans())
def test_a_prefix_is_described_by_its_own_events_only(seed: int, text: bool) -> None:
    [whole] = histories(1, seed, text=text)
    fitted = Aggregates(Rows(histories(20, seed + 1, text=text), []), 0)
    features = fitted(Rows([whole], []))
    for length in range(1, whole.length + 1):
        np.testing.assert_allclose(
            fitted(Rows([whole.take(slice(0, length))], []))[-1], features[length - 1], rtol=1e-5, atol=1e-6
        )


def test_aggregates_are_what_their_names_say() -> None:
    nan = np.nan
    history = encoded([[2], [3], [2], [2]], [[1.0], [nan], [4.0], [1.0]])
    features = Aggregates(Rows([history], []), 0)(Rows([history], []))
    names = [
        "last",
        "previous",
        "distinct",
        "changes",
        "since",
        "value",
        "change",
        "mean",
        "largest",
        "smallest",
        "events",
        "distance",
        "step",
    ]
    column = dict(zip(names, features.T.tolist(), strict=True))
    assert column["last"] == [2, 3, 2, 2]
    assert column["previous"] == [0, 3, 4, 3], "tokens plus one, so that 0 is none"
    assert column["distinct"] == [1, 2, 2, 2]
    assert column["changes"] == [0, 1, 2, 2]
    assert column["since"] == [0, 0, 0, 1], "rotary time since the token last changed"
    assert column["value"] == [1, 1, 4, 1]
    np.testing.assert_equal(column["change"], [nan, 0, 3, -3])
    assert column["mean"] == [1, 1, 2.5, 2]
    assert column["largest"] == [1, 1, 4, 4]
    assert column["smallest"] == [1, 1, 1, 1]
    assert column["events"] == [1, 2, 3, 4]
    assert column["distance"] == [0, 1, 2, 3]
    assert column["step"] == [0, 1, 1, 1]


def test_texts_become_the_last_and_the_mean_of_their_components() -> None:
    given = histories(40, 5, text=True)
    fitted = Aggregates(Rows(given, []), 0)
    silent = encoded([[2, 2]], [[0.0, 0.0]])
    assert np.isnan(fitted(Rows([silent], []))[0, -8:]).all(), "no text so far is unknown, not zero"
    spoken = fitted(Rows([given[0]], []))[:, -8:]
    np.testing.assert_allclose(spoken[0, :4], spoken[0, 4:], rtol=1e-5)
    np.testing.assert_allclose(spoken[:, :4].mean(axis=0), spoken[-1, 4:], rtol=1e-4, atol=1e-5)
