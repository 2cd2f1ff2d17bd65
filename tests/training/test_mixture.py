"""Trees and network together: between the two, in logits, and a risk that never falls."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from forewarn.targets import TargetSpec, Task
from training.mixture import SHARES, mixture

ONSET = {"name": "x", "kind": "hazard", "onset": {"when": {"field": "type", "equals": "x"}}, "horizons": ["1d", "7d"]}
CLASS = {"name": "y", "kind": "classification", "field": "z", "at": "last", "classes": ["a", "b", "c"]}
VALUE = {"name": "w", "kind": "regression", "field": "gap"}
risks = arrays(np.float64, (4, 2), elements=st.floats(0, 1)).map(lambda own: np.sort(own, axis=1))


def task(spec: dict[str, object]) -> Task:
    return TargetSpec.parse({"name": "t", "tasks": [spec]}).task(str(spec["name"]))


@given(trees=risks, network=risks, share=st.sampled_from(SHARES))
def test_risks_lie_between_the_two_and_never_fall_with_the_horizon(
    trees: np.ndarray, network: np.ndarray, share: float
) -> None:
    found = mixture(task(ONSET), trees, network, share)
    assert (np.diff(found, axis=1) >= -1e-12).all()
    assert (found >= np.minimum(trees, network) - 2e-6).all() and (found <= np.maximum(trees, network) + 2e-6).all()


def test_half_and_half_is_the_mean_of_logits() -> None:
    found = mixture(task(ONSET), np.array([[0.5, 0.9]]), np.array([[0.2, 0.9]]), 0.5)
    odds = np.sqrt(np.array([1.0 * 0.25, 9.0 * 9.0]))
    np.testing.assert_allclose(found[0], odds / (1 + odds))


def test_classes_add_up_to_one_and_values_are_a_plain_mean() -> None:
    rng = np.random.default_rng(0)
    trees, network = rng.dirichlet([1, 1, 1], 20), rng.dirichlet([1, 1, 1], 20)
    trees[0] = [1, 0, 0]
    found = mixture(task(CLASS), trees, network, 0.25)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert mixture(task(VALUE), np.array([4.0]), np.array([[2.0]]), 0.75) == pytest.approx(3.5)


def test_trees_alone_stay_what_they_are() -> None:
    trees = np.array([[0.0, 1.0]])
    assert mixture(task(ONSET), trees, np.array([[0.5, 0.5]]), 1.0) is trees
