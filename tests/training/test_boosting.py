"""LightGBM's search, seeds and exact thresholds, on rows whose signal is known."""

from __future__ import annotations

from dataclasses import replace

import lightgbm as lgb
import numpy as np
import pytest

from forewarn.targets import TargetSpec
from training import boosting
from training.boosting import CANDIDATES, Boosted, boost, recalibrated, search
from training.config import BoostingConfig
from training.table import Table

ONSET = {"name": "x", "kind": "hazard", "onset": {"when": {"field": "type", "equals": "x"}}, "horizons": ["ever"]}
TASK = TargetSpec.parse({"name": "t", "tasks": [ONSET]}).task("x")
QUICK = BoostingConfig(candidates=4, seeds=2, threads=1)


def table(rows: int, seed: int) -> Table:
    """The first of three numbers decides, with a tenth of the labels turned."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, 3)).astype(np.float32)
    features[rng.uniform(size=features.shape) < 0.1] = np.nan
    label = (np.nan_to_num(features[:, 0]) > 0.3) ^ (rng.uniform(size=rows) < 0.1)
    return Table(features, label.astype(np.int8), np.ones(rows))


def loss(model: Boosted, rows: Table) -> float:
    risk = np.clip(model(rows.features), 1e-7, 1 - 1e-7)
    return float(-np.log(np.where(rows.label > 0, risk, 1 - risk)).mean())


def thresholds(booster: lgb.Booster) -> np.ndarray:
    lines = [line for line in booster.model_to_string().splitlines() if line.startswith("threshold=")]
    return np.array(" ".join(line.partition("=")[2] for line in lines).split(), np.float64)


def test_the_search_takes_the_candidate_with_the_lowest_validation_loss() -> None:
    train, valid = table(600, 0), table(300, 1)
    single = replace(QUICK, seeds=1)
    losses = [loss(boost(TASK, train, valid, [], candidate, single, 0), valid) for candidate in CANDIDATES[:4]]
    chosen = search(TASK, [train], [valid], [], QUICK, 0)
    assert max(losses) > min(losses)
    assert losses[CANDIDATES.index(chosen)] == pytest.approx(min(losses), abs=1e-4)


def test_without_a_choice_on_the_validation_rows_the_usual_parameters_stand() -> None:
    train, valid = table(200, 0), table(50, 1)
    silent = valid._replace(label=np.zeros(50, np.int8))
    found = search(TASK, [train], [silent], [], QUICK, 0)
    assert found == CANDIDATES[0]
    assert boost(TASK, train, silent, [], found, QUICK, 0).trees == [boosting._ROUNDS_UNWATCHED] * 2


def test_seeds_are_averaged() -> None:
    train, valid = table(400, 0), table(200, 1)
    model = boost(TASK, train, valid, [], CANDIDATES[0], QUICK, 5)
    one, two = (booster.predict(valid.features) for booster in model.boosters)
    assert not np.array_equal(one, two)
    np.testing.assert_allclose(model(valid.features), (one + two) / 2)


def test_a_row_that_counts_nothing_teaches_nothing() -> None:
    train, valid = table(600, 0), table(200, 1)
    wrong = table(600, 2)
    joined = Table(
        np.concatenate([train.features, wrong.features]),
        np.concatenate([train.label, 1 - wrong.label]),
        np.concatenate([train.weight, np.zeros(600)]),
    )
    alike = joined._replace(weight=np.ones(1_200))
    weighted, plain = (loss(boost(TASK, rows, valid, [], CANDIDATES[0], QUICK, 0), valid) for rows in (joined, alike))
    assert weighted < plain - 0.1


def test_thresholds_are_float32_and_change_no_prediction() -> None:
    train = table(2_000, 0)
    data = lgb.Dataset(train.features, train.label)
    booster = lgb.train({"objective": "binary", "verbosity": -1, "num_threads": 1}, data, 30)
    exact = boosting._exact(booster)
    assert (thresholds(exact) == thresholds(exact).astype(np.float32)).all()
    assert (thresholds(booster) != thresholds(booster).astype(np.float32)).any(), "LightGBM's own are finer"
    np.testing.assert_array_equal(exact.predict(train.features), booster.predict(train.features))


def test_saved_models_predict_as_before() -> None:
    train, valid = table(300, 0), table(100, 1)
    model = boost(TASK, train, valid, [], CANDIDATES[0], QUICK, 0)
    np.testing.assert_array_equal(Boosted.from_dict(model.to_dict())(valid.features), model(valid.features))


@pytest.mark.parametrize(("name", "value"), [("candidates", 0), ("candidates", 9), ("seeds", 0), ("threads", 0)])
def test_an_impossible_amount_of_work_is_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=rf"boosting\.{name}: found {value}"):
        BoostingConfig(**{name: value})


def test_the_configuration_knows_how_many_candidates_there_are() -> None:
    assert BoostingConfig(candidates=len(CANDIDATES))
    with pytest.raises(ValueError, match="candidates"):
        BoostingConfig(candidates=len(CANDIDATES) + 1)


def test_recalibrated_trees_keep_the_order_and_fit_the_weighted_rate() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3_000, 3)).astype(np.float32)
    label = (rng.random(3_000) < 1 / (1 + np.exp(-2 * features[:, 0]))).astype(np.int8)
    table = Table(features, label, np.ones(3_000))
    trees = {"objective": "binary", "verbosity": -1, "seed": 0}
    model = Boosted([lgb.train(trees, lgb.Dataset(features, label), 30) for _ in range(2)])
    weight_N = np.where(label == 1, 3.0, 1.0)
    found = recalibrated(model, table, weight_N)
    before, after = model(features), found(features)
    assert (np.argsort(before, kind="stable") == np.argsort(after, kind="stable")).mean() > 0.99
    assert np.average(after, weights=weight_N) == pytest.approx(np.average(label, weights=weight_N), abs=1e-3)
    raw, mapped = (np.log(risk / (1 - risk)) for risk in (before, after))
    scale, shift = np.polyfit(raw, mapped, 1)
    np.testing.assert_allclose(mapped, scale * raw + shift, atol=1e-6)
