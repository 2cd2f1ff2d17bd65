"""Target encoding: tokens as the mean labels of their training rows, and never of a row's own history."""

from __future__ import annotations

import numpy as np
import pytest

from forewarn.targets import TargetSpec, Task
from training.table import Table
from training.target_encoding import TargetEncoding, extend_out_of_fold

HAZARD = {"name": "x", "kind": "hazard", "onset": {"when": {"field": "type", "equals": "x"}}, "horizons": ["ever"]}
CLASSES = {"name": "y", "kind": "classification", "field": "z", "at": "last", "classes": ["a", "b", "c"]}
ROWS, FIELDS, WIDE = 600, 2, 40  # two fields: one of 3 tokens, one of 40


def task(spec: dict[str, object]) -> Task:
    return TargetSpec.parse({"name": "t", "tasks": [spec]}).task(str(spec["name"]))


def table(label: np.ndarray, token: np.ndarray | None = None) -> Table:
    rng = np.random.default_rng(0)
    wide = rng.integers(0, WIDE, len(label)) if token is None else token
    last = np.stack([rng.integers(0, 3, len(label)), wide], axis=1)
    previous = np.concatenate([np.zeros((1, FIELDS)), last[:-1] + 1])
    return Table(np.concatenate([last, previous], axis=1, dtype=np.float32), label, np.ones(len(label)))


def test_a_token_becomes_the_mean_of_its_rows_drawn_to_that_of_all_where_they_are_few() -> None:
    label = np.random.default_rng(1).integers(0, 2, ROWS).astype(np.int8)
    rows = table(label)
    encoding = TargetEncoding.fit(task(HAZARD), rows, [3, WIDE])
    assert encoding is not None
    assert encoding.columns == [1, 3], "the field of three tokens needs none"
    found = encoding(rows.features)
    own = rows.features[:, 1] == 7
    expected = (label[own].sum() + 10 * label.mean()) / (own.sum() + 10)
    np.testing.assert_allclose(found[own, 0], expected, rtol=1e-6)
    unseen = rows.features[:1].copy()
    unseen[0, 1] = WIDE - 1
    never = TargetEncoding.fit(task(HAZARD), table(label, np.zeros(ROWS, int)), [3, WIDE])
    assert never is not None and never(unseen)[0, 0] == pytest.approx(label.mean()), "what was never met is the mean"


def test_classes_have_one_share_each_and_a_saved_encoding_says_the_same() -> None:
    rows = table(np.random.default_rng(2).integers(0, 3, ROWS).astype(np.int32))
    encoding = TargetEncoding.fit(task(CLASSES), rows, [3, WIDE])
    assert encoding is not None
    share = encoding(rows.features).reshape(ROWS, 2, 3)
    np.testing.assert_allclose(share.sum(axis=2), 1, rtol=1e-5)
    again = TargetEncoding.from_dict(encoding.to_dict())
    np.testing.assert_array_equal(again.extend(rows.features), encoding.extend(rows.features))


def test_training_rows_never_read_the_labels_of_their_own_fold() -> None:
    """Each token belongs to one fold alone, so that what others say of it is nothing but the mean."""
    fold = np.arange(ROWS) % 3
    token = np.random.default_rng(3).integers(0, WIDE // 3, ROWS) * 3 + fold
    label = np.random.default_rng(4).integers(0, 2, ROWS).astype(np.int8)
    rows = table(label, token)
    found = extend_out_of_fold(task(HAZARD), rows, [3, WIDE], fold, rows.features, fold)
    np.testing.assert_array_equal(found[:, :4], rows.features)
    for number in range(3):
        np.testing.assert_allclose(found[fold == number, 4], label[fold != number].mean(), rtol=1e-5)


def test_without_a_wide_field_there_is_nothing_to_encode() -> None:
    rows = table(np.zeros(ROWS, np.int8))
    assert TargetEncoding.fit(task(HAZARD), rows, [3, 5]) is None
    fold = np.arange(ROWS) % 2
    assert extend_out_of_fold(task(HAZARD), rows, [3, 5], fold, rows.features, fold) is rows.features
