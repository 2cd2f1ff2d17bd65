"""Competing hazards: the scores are cumulative incidences, which never fall and never add up to more than 1."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from forewarn.model import Ensemble, HeadSpec, InputShapes, ModelConfig, Scores, SequenceModel
from forewarn.model.scores import Calibration, link, link_competing

HEADS = [
    HeadSpec("leaves", "hazard", 3, competes_in="ending"),
    HeadSpec("mood", "classification", 3),
    HeadSpec("complains", "hazard", 3, competes_in="ending"),
    HeadSpec("alone", "hazard", 3),
]


def logit(probability: torch.Tensor) -> torch.Tensor:
    return torch.log(probability / (1 - probability))


def test_with_constant_hazards_the_risk_is_the_closed_form() -> None:
    rates, edges = torch.tensor([0.2, 0.6, 0.05]), torch.tensor([0.0, 1, 3, 7])
    total = rates.sum()
    # Of a competing pair: P(c first, in the bin | none before it) = its share of the rates times P(any in the bin).
    first_CK = (rates / total)[:, None] * (1 - torch.exp(-total * edges.diff()))
    risk_CK = torch.stack(link_competing(list(logit(first_CK))))
    torch.testing.assert_close(risk_CK, (rates / total)[:, None] * (1 - torch.exp(-total * edges[1:])))
    taken_alone = torch.stack([link("hazard", own) for own in logit(first_CK)])
    assert taken_alone[:2, -1].sum() > 1.2, "what the risks would be if each cause ended itself alone"


def test_the_risk_is_what_counting_every_course_gives() -> None:
    first_CK = torch.tensor([[0.3, 0.05, 0.4], [0.1, 0.6, 0.25]])
    expected = np.zeros((2, 3))
    # A course is, bin by bin, none (2) or the cause that comes first there; what follows it changes nothing.
    for course in itertools.product(range(3), repeat=3):
        chance = math.prod(float([*first_CK, 1 - first_CK.sum(dim=0)][cause][k]) for k, cause in enumerate(course))
        came = [(cause, k) for k, cause in enumerate(course) if cause < 2]
        if came:
            cause, k = came[0]
            expected[cause, k:] += chance
    found = torch.stack(link_competing(list(logit(first_CK))))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 4), st.integers(1, 6), st.floats(0.1, 60), st.floats(-20, 20), st.integers(0, 10_000))
def test_risks_never_fall_and_never_add_up_to_more_than_one(
    causes: int, bins: int, spread: float, shift: float, seed: int
) -> None:
    raw = list((torch.randn(causes, 7, bins, generator=torch.manual_seed(seed)) * spread + shift).unbind(0))
    risk_CNK = torch.stack(link_competing(raw))
    assert bool(torch.isfinite(risk_CNK).all()) and risk_CNK.dtype == torch.float32
    assert bool((risk_CNK >= 0).all()) and bool((risk_CNK.diff(dim=-1) >= 0).all())
    assert float(risk_CNK.sum(dim=0).max()) <= 1 + 1e-6
    # No cause is likelier than without competitors.
    alone = torch.stack([link("hazard", own) for own in raw])
    assert bool((risk_CNK <= alone + 1e-6).all())


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-30, 12), min_size=1, max_size=6))
def test_a_cause_without_competitor_is_an_ordinary_hazard(logits: list[float]) -> None:
    raw = torch.tensor([logits])
    torch.testing.assert_close(link_competing([raw])[0], link("hazard", raw))


def test_small_risks_keep_their_relative_precision_in_fp32() -> None:
    raw = torch.full((1, 3), -25.0)
    exact = math.exp(-25.0)
    for own in link_competing([raw, raw]):
        np.testing.assert_allclose(own[0], [exact, 2 * exact, 3 * exact], rtol=1e-5)


def network(config: ModelConfig, seed: int = 0) -> SequenceModel:
    torch.manual_seed(seed)
    made = SequenceModel(config, InputShapes((5, 7), 3), HEADS)
    for head in made.heads.values():
        head.weight.data.mul_(20)
    if made.ageing is not None:
        torch.nn.init.normal_(made.ageing.change.weight, std=0.5)
    return made.eval()


def inputs() -> dict[str, torch.Tensor]:
    dice = torch.Generator().manual_seed(1)
    return {
        "categorical": torch.randint(0, 5, (2, 6, 2), generator=dice),
        "numeric": torch.randn(2, 6, 3, generator=dice),
        "position": torch.rand(2, 6, generator=dice).cumsum(1),
    }


@pytest.mark.parametrize("backbone", ["transformer", "gru"])
@pytest.mark.parametrize("members", [1, 2])
def test_calibration_comes_before_the_link_and_other_tasks_keep_theirs(backbone: str, members: int) -> None:
    config = ModelConfig(width=32, layers=1, heads=2, kv_heads=2, mlp_width=64, numeric_width=4, backbone=backbone)
    model = Ensemble([network(config, seed) for seed in range(members)]) if members > 1 else network(config)
    calibration = {"leaves": Calibration([2.0] * 3, [-1.0] * 3)}
    with torch.no_grad():
        raw = model(**inputs())
        found = dict(zip([head.name for head in HEADS], Scores(model, calibration)(**inputs()), strict=True))
    leaves, complains = link_competing([raw["leaves"] * 2 - 1, raw["complains"]])
    torch.testing.assert_close(found["leaves"], leaves)
    torch.testing.assert_close(found["complains"], complains)
    torch.testing.assert_close(found["alone"], link("hazard", raw["alone"]))
    torch.testing.assert_close(found["mood"], raw["mood"].softmax(-1))


def test_competing_risks_move_with_silence() -> None:
    config = ModelConfig(width=32, layers=1, heads=2, kv_heads=2, mlp_width=64, numeric_width=4, ageing=True)
    scores, fed = Scores(network(config)).eval(), inputs()
    with torch.no_grad():
        prompt, late = (scores(**fed, silence=torch.full((2, 6), seconds)) for seconds in (0.0, 86_400.0))
    assert float((prompt[0] - late[0]).abs().max()) > 1e-3
    assert float((late[0] + late[2]).max()) <= 1 + 1e-6


def test_only_hazards_compete() -> None:
    with pytest.raises(ValueError, match="task 'mood': kind='classification', expected hazard with competes_in"):
        HeadSpec("mood", "classification", 3, competes_in="ending")
