"""The network: causality, padding, monotone risk, and sizes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from forewarn.model import HeadSpec, InputShapes, ModelConfig, Scores, ScoresAndLogits, SequenceModel
from forewarn.model.scores import Calibration, link
from forewarn.model.transformer import HeadNorm, rotary_angles, rotate

TINY = ModelConfig(width=32, layers=2, heads=2, kv_heads=2, mlp_width=64, numeric_width=4)
SHAPES = InputShapes((5, 7), 3, 6)
HEADS = [
    HeadSpec("escalation", "hazard", 4, prior=(-4.0, -3.0, -2.0, -1.0)),
    HeadSpec("mood", "classification", 3),
    HeadSpec("days", "regression", 1, center=5.0, spread=2.0),
]


def model(config: ModelConfig = TINY, seed: int = 0) -> Scores:
    torch.manual_seed(seed)
    network = Scores(SequenceModel(config, SHAPES, HEADS)).eval()
    # Heads start small; larger ones make every difference in the state visible in the scores.
    for head in network.model.heads.values():
        head.weight.data.mul_(20)
    return network


def inputs(batch: int, length: int, seed: int = 0) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(seed)
    numeric = rng.normal(size=(batch, length, 3)).astype(np.float32)
    numeric[rng.random(numeric.shape) < 0.3] = np.nan
    arrays = {
        "categorical": rng.integers(0, 5, (batch, length, 2)),
        "numeric": numeric,
        "position": rng.random((batch, length)).astype(np.float32).cumsum(1),
        "text_index": rng.integers(0, 4, (batch, length)),
        "text_vectors": rng.normal(size=(3, 6)).astype(np.float32),
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


@given(st.integers(1, 12), st.integers(0, 5), st.integers(0, 1_000))
@settings(max_examples=15, deadline=None)
def test_a_later_event_never_changes_an_earlier_score(length: int, more: int, seed: int) -> None:
    network, whole = model(), inputs(2, length + more, seed)
    prefix = {name: array if name == "text_vectors" else array[:, :length] for name, array in whole.items()}
    with torch.no_grad():
        for short, long in zip(network(**prefix), network(**whole), strict=True):
            torch.testing.assert_close(short, long[:, :length], atol=1e-5, rtol=1e-5)


def test_padding_changes_no_score() -> None:
    network, alone = model(), inputs(1, 5)
    padded = {
        name: array if name == "text_vectors" else torch.cat([array, torch.zeros_like(array)], dim=1)
        for name, array in alone.items()
    }
    with torch.no_grad():
        for short, long in zip(network(**alone), network(**padded), strict=True):
            torch.testing.assert_close(short, long[:, :5], atol=1e-5, rtol=1e-5)


def test_events_in_another_order_give_another_score() -> None:
    network, given_order = model(), inputs(1, 6)
    swapped = dict(given_order)
    for name in ("categorical", "numeric", "text_index"):
        swapped[name] = given_order[name][:, [1, 0, 2, 3, 4, 5]]
    with torch.no_grad():
        assert (network(**given_order)[0][:, -1] - network(**swapped)[0][:, -1]).abs().max() > 1e-4


def test_silence_changes_the_score() -> None:
    network, prompt = model(), inputs(1, 6)
    slow = dict(prompt, position=prompt["position"] * torch.tensor([1.0, 1, 1, 1, 1, 3]))
    with torch.no_grad():
        assert (network(**prompt)[0][:, -1] - network(**slow)[0][:, -1]).abs().max() > 1e-4


@given(st.lists(st.floats(-30, 30), min_size=1, max_size=8))
def test_risk_never_falls_with_the_horizon_and_stays_a_probability(logits: list[float]) -> None:
    risk = link("hazard", torch.tensor([logits]))
    assert (risk.diff(dim=-1) >= 0).all() and (risk >= 0).all() and (risk <= 1).all()


def test_risk_is_one_minus_the_product_of_survivals() -> None:
    logits = torch.tensor([-1.0, 0.5, -2.0])
    hazard = logits.sigmoid()
    torch.testing.assert_close(link("hazard", logits), 1 - (1 - hazard).cumprod(0))


def test_an_untrained_network_predicts_its_priors() -> None:
    torch.manual_seed(0)
    network = SequenceModel(TINY, SHAPES, HEADS).eval()
    with torch.no_grad():
        raw = network(**inputs(4, 8))["escalation"]
    torch.testing.assert_close(raw.mean(dim=(0, 1)), torch.tensor(HEADS[0].prior), atol=0.3, rtol=0)


def test_calibration_is_an_affine_map_of_the_logits() -> None:
    network = model()
    shifted = Scores(network.model, {"escalation": Calibration([2.0] * 4, [-1.0] * 4)}).eval()
    batch = inputs(1, 3)
    with torch.no_grad():
        raw = network.model(**batch)["escalation"]
        torch.testing.assert_close(shifted(**batch)[0], link("hazard", raw * 2 - 1))


def test_what_trees_read_of_a_class_turns_neither_on_the_level_of_its_logits_nor_on_how_little_is_left_of_it() -> None:
    network, batch = model().model, inputs(1, 3)
    neutral = ([1.0] * 3, [0.0] * 3)
    lifted, ruled_out = ([1.0] * 3, [4.0] * 3), ([1.0] * 3, [0.0, 0.0, -40.0])
    said = {}
    for name, (scale, shift) in {"neutral": neutral, "lifted": lifted, "ruled out": ruled_out}.items():
        with torch.no_grad():
            outputs = ScoresAndLogits(network, {"mood": Calibration(scale, shift)}).eval()(**batch)
        said[name] = outputs[len(outputs) // 2 + 1]
    torch.testing.assert_close(said["neutral"].exp().sum(dim=-1), torch.ones(1, 3))
    torch.testing.assert_close(said["lifted"], said["neutral"])
    assert said["ruled out"][..., 2].unique().tolist() == [pytest.approx(math.log(1e-3))]


def test_a_regression_comes_back_in_its_own_unit() -> None:
    network, batch = model(), inputs(1, 3)
    with torch.no_grad():
        torch.testing.assert_close(network(**batch)[2], network.model(**batch)["days"] * 2 + 5)


def test_rotation_sees_only_differences_of_positions() -> None:
    torch.manual_seed(0)
    query, key = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)
    frequency = torch.tensor([1.0, 0.3, 0.1, 0.01])

    def product(at: float, of: float) -> torch.Tensor:
        left, right = (rotary_angles(torch.tensor([[p]]), frequency) for p in (at, of))
        return (rotate(query, *left) * rotate(key, *right)).sum()

    torch.testing.assert_close(product(5.0, 2.0), product(1005.0, 1002.0), atol=1e-3, rtol=1e-3)


def test_grouped_query_attention_is_a_setting() -> None:
    grouped = ModelConfig(width=32, layers=1, heads=4, kv_heads=2, mlp_width=64)
    network = Scores(SequenceModel(grouped, SHAPES, HEADS)).eval()
    with torch.no_grad():
        assert network(**inputs(2, 5))[0].shape == (2, 5, 4)


@pytest.mark.parametrize(
    ("settings_", "field"),
    [
        ({"width": 30, "heads": 4}, "model.width"),
        ({"heads": 4, "kv_heads": 3}, "model.kv_heads"),
        ({"heads": 0}, "model.heads: found 0, expected at least 1"),
        ({"kv_heads": 0}, "model.kv_heads: found 0"),
        ({"layers": 0}, "model.layers: found 0"),
        ({"width": -8}, "model.width: found -8"),
        ({"numeric_frequencies": 0}, "model.numeric_frequencies: found 0"),
        ({"dropout": 1.5}, "model.dropout: found 1.5"),
        ({"rotary_base": 0.0}, "model.rotary_base: found 0.0"),
    ],
)
def test_impossible_sizes_are_refused_by_name(settings_: dict[str, float], field: str) -> None:
    with pytest.raises(ValueError, match=field):
        ModelConfig(**settings_)  # type: ignore[arg-type]


def test_no_text_is_a_vector_of_its_own_that_is_learned() -> None:
    """An event without text is neither an event whose text has a zero vector nor one that is left out of the sum."""
    network, batch = model().model, inputs(1, 4)
    text = network.embedder.text
    assert text is not None
    batch["text_index"] = torch.tensor([[0, 1, 0, 2]])
    batch["text_vectors"][0] = 0.0
    embedded = text(batch["text_index"], batch["text_vectors"])
    assert (embedded[0, 0] - embedded[0, 1]).norm() > 0.01
    assert embedded[0, 0].norm() > 0.01
    network(**batch)["days"].square().sum().backward()
    assert text.no_text.grad is not None and text.no_text.grad.norm() > 0


def test_the_named_sizes_are_what_their_files_say() -> None:
    from omegaconf import OmegaConf

    for name, low, high in (("tiny", 0.05, 0.5), ("small", 0.3, 1.5), ("base", 4, 7), ("large", 30, 50)):
        config = ModelConfig(**OmegaConf.load(f"conf/model/{name}.yaml").model)  # type: ignore[arg-type]
        network = SequenceModel(config, InputShapes((50,) * 10, 12, 384), HEADS)
        millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
        assert low < millions < high, f"{name}: {millions:.1f} M"


def test_queries_and_keys_keep_their_precision_through_their_norm() -> None:
    half = torch.randn(2, 3, 8, dtype=torch.bfloat16)
    assert HeadNorm(8, eps=1e-6)(half).dtype == torch.bfloat16
