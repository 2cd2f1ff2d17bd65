"""What models that cannot read are told of a text."""

from __future__ import annotations

import numpy as np

from forewarn.sequence import EncodedHistory
from training.aggregates import Aggregates, Rows
from training.text_components import TextComponents


def history(words: list[list[int]], width: int = 5) -> EncodedHistory:
    length = len(words)
    padded = [[*row, *[0] * (width - len(row))] for row in words]
    return EncodedHistory(
        history_id="h", event_ids=tuple(str(i) for i in range(length)), categorical=np.zeros((length, 1), np.int32),
        numeric=np.zeros((length, 1), np.float32), position=np.arange(length, dtype=np.float32),
        text_index=np.arange(1, length + 1, dtype=np.int32), text_vectors=np.empty((0, 0), np.float32),
        text_words=np.array(padded, np.int32).reshape(length, width),
    )  # fmt: skip


BILLING, LOGIN = [[2, 3, 4], [2, 4], [3, 2]], [[5, 6, 7], [7, 6], [5, 7]]


def similar(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def test_texts_that_share_words_are_near_each_other() -> None:
    components = TextComponents.fit([history(BILLING), history(LOGIN)], seed=0)
    assert components is not None
    one, other, third = components(history([[2, 3], [4, 3], [6, 5]]))
    assert similar(one, other) > 0.5 > similar(one, third)


def test_padding_and_words_never_fitted_count_nothing() -> None:
    components = TextComponents.fit([history(BILLING), history(LOGIN)], seed=0)
    assert components is not None
    short, long = components(history([[2, 3]])), components(history([[2, 3, 99]], width=9))
    np.testing.assert_allclose(short, long)
    assert components(history([])).shape == (0, components.width)


def test_aggregates_hold_the_last_and_the_mean_text_so_far() -> None:
    rows = Rows([history(BILLING), history(LOGIN)], labels=[])
    aggregates = Aggregates(rows, seed=0)
    components = TextComponents.fit(rows.histories, seed=0)
    assert components is not None
    text_ND = aggregates(rows)[:, -2 * components.width :]
    own = components(rows.histories[0])
    np.testing.assert_allclose(text_ND[:3, : components.width], own, atol=1e-6)
    np.testing.assert_allclose(text_ND[2, components.width :], own.mean(axis=0), atol=1e-6)


def test_without_texts_there_are_no_components() -> None:
    assert TextComponents.fit([history([]), history([])], seed=0) is None
