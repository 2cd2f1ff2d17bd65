from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, spearmanr
from sklearn.metrics import roc_auc_score

from forewarn.targets.lint.measures import auroc, binned, chance, crossfit, explained_classes, spearman
from forewarn.targets.lint.names import words

scores = st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=4, max_size=50)


@given(rows=scores)
def test_auroc_is_the_one_of_scikit_learn(rows: list[tuple[int, bool]]) -> None:
    score, label = (np.array(column) for column in zip(*rows, strict=True))
    found = auroc(score.astype(np.float64), label.astype(bool))
    if label.all() or not label.any():
        assert math.isnan(found)
    else:
        assert found == pytest.approx(roc_auc_score(label, score))


def test_spearman_is_the_one_of_scipy_and_0_for_a_constant() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 200).astype(float), rng.integers(0, 9, 200).astype(float)
    assert spearman(a, a + b) == pytest.approx(spearmanr(a, a + b).statistic)
    assert spearman(a, np.ones(200)) == 0


def test_an_id_tells_nothing_of_the_other_half() -> None:
    rng = np.random.default_rng(0)
    history = np.repeat(np.arange(100), 5)
    label, fold = rng.integers(0, 2, 100)[history].astype(np.float64), history % 2 == 0
    assert len(set(crossfit(history, label, fold).round(12))) <= 2, "unknown codes get the other half's rate"
    assert explained_classes(history, label.astype(np.int64), fold) < 0.1
    assert explained_classes(label.astype(np.int64), label.astype(np.int64), fold) == 1


@given(values=st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), min_size=1, max_size=300))
def test_bins_keep_the_order_and_the_gaps(values: list[float]) -> None:
    number = np.array(values)
    code = binned(number)
    assert ((code < 0) == np.isnan(number)).all()
    known = np.argsort(number)[: int(np.isfinite(number).sum())]
    assert (np.diff(code[known]) >= 0).all()


@given(tries=st.integers(1, 200), share=st.floats(0, 1), rate=st.floats(0.01, 1))
def test_chance_is_never_below_the_binomial_tail(tries: int, share: float, rate: float) -> None:
    hits = round(share * tries)
    assert chance(hits, tries, rate) >= binom.logsf(hits - 1, tries, rate) / math.log(10) - 1e-6


@pytest.mark.parametrize("name", ["closed_at", "closedAt", "case.closed-at", "CLOSED_AT", "when closed"])
def test_a_name_is_its_words_however_it_is_written(name: str) -> None:
    assert "closed" in words(name)
    assert "closed" not in words("disclosed_at")
