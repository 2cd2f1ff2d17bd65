"""The ageing head: neutral until it has learned, and without silence; one more input, which no state ever hears."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from forewarn.model import CHANGE, Ensemble, HeadSpec, InputShapes, ModelConfig, Scores, SequenceModel
from forewarn.model.scores import Calibration, link
from training.onnx_export import PARITY_LIMIT, check_parity, export_graph

AGEING = ModelConfig("tiny", 32, 2, 2, 2, 64, 4, ageing=True)
SHAPES = InputShapes((5, 7), 3)
HEADS = [HeadSpec("risk", "hazard", 4), HeadSpec("mood", "classification", 3), HeadSpec("days", "regression", 1)]
BACKBONES = pytest.mark.parametrize("backbone", ["transformer", "gru"])
DAY_S = 86_400.0


def network(config: ModelConfig = AGEING, seed: int = 0, *, learned: bool = True) -> SequenceModel:
    torch.manual_seed(seed)
    made = SequenceModel(config, SHAPES, HEADS).eval()
    if learned and made.ageing is not None:  # as if training had found that silence matters
        torch.nn.init.normal_(made.ageing.change.weight, std=0.5)
    return made


def scored(network: SequenceModel | Ensemble, silence: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    """Every task's score of `inputs` after a silence."""
    scores = Scores(network).eval()
    with torch.no_grad():
        return dict(zip(scores.output_names, scores(**inputs(), silence=silence), strict=True))


def inputs(batch: int = 3, length: int = 4, seed: int = 0) -> dict[str, torch.Tensor]:
    rng = np.random.default_rng(seed)
    return {
        "categorical": torch.from_numpy(rng.integers(0, 5, (batch, length, 2))),
        "numeric": torch.from_numpy(rng.normal(size=(batch, length, 3)).astype(np.float32)),
        "position": torch.from_numpy(rng.random((batch, length)).astype(np.float32).cumsum(1)),
    }


def silences(batch: int = 3, length: int = 4, seed: int = 0) -> torch.Tensor:
    draw = np.random.default_rng(seed).random((batch, length))
    return torch.from_numpy(np.expm1(draw * np.log1p(365 * DAY_S)).astype(np.float32))


@BACKBONES
def test_at_the_start_it_is_the_network_without_it_whatever_the_silence(backbone: str) -> None:
    aged = network(replace(AGEING, backbone=backbone), learned=False)
    plain = network(replace(AGEING, backbone=backbone, ageing=False))
    expected = scored(plain)
    for silence in (None, torch.zeros(3, 4), silences()):
        for name, score in scored(aged, silence).items():
            assert torch.equal(score, expected[name])


def test_without_silence_it_stays_the_network_without_it_however_much_it_has_learned() -> None:
    aged = network()
    kept = scored(aged)
    for name, score in scored(aged, torch.zeros(3, 4)).items():
        assert torch.equal(score, kept[name])


def test_different_silences_give_different_risks_and_no_other_task_hears_them() -> None:
    aged = network()
    found = [scored(aged, torch.full((3, 4), s)) for s in (0.0, 60.0, 3_600.0, DAY_S, 30 * DAY_S)]
    for earlier, later in pairwise(found):
        assert (earlier["risk"] - later["risk"]).abs().amin(dim=-1).max() > 1e-3
        assert torch.equal(earlier["mood"], later["mood"]) and torch.equal(earlier["days"], later["days"])


def test_the_silence_after_one_event_changes_the_risk_after_that_event_alone() -> None:
    aged, silence = network(), torch.zeros(3, 4)
    silence[1, 2] = DAY_S
    changed = scored(aged, silence)["risk"] != scored(aged)["risk"]
    assert changed[1, 2].any()
    changed[1, 2] = False
    assert not changed.any(), "a state that was kept would be stale"


def test_an_aged_risk_never_falls_with_the_horizon() -> None:
    assert (scored(network(), silences())["risk"].diff(dim=-1) >= 0).all()


def test_states_of_many_events_and_one_state_read_alone_age_alike() -> None:
    aged, silence = network(), silences()
    with torch.no_grad():
        stored = aged.states(**inputs())[:, -1:]
        raw = aged.read(stored)["risk"] + aged.changes(stored, silence[:, -1:])["risk"]
    torch.testing.assert_close(link("hazard", raw), scored(aged, silence)["risk"][:, -1:])


def test_many_silences_of_each_event_at_once_are_each_of_them_alone() -> None:
    aged = network()
    many_BTS = torch.stack([silences(seed=seed) for seed in range(3)], dim=2)
    with torch.no_grad():
        state = aged.states(**inputs())
        changes = aged.changes(state, many_BTS)["risk"]
        for number in range(3):
            alone = aged.changes(state, many_BTS[:, :, number])["risk"]
            torch.testing.assert_close(changes[:, :, number], alone)


def test_calibration_of_ageing_scales_what_silence_adds_and_leaves_the_rest() -> None:
    aged, silence = network(), silences()
    scaled = Scores(aged, {"risk": Calibration([2.0] * 4, [-1.0] * 4, [0.5] * 4)}).eval()
    with torch.no_grad():
        raw = aged(**inputs(), silence=silence)
        expected = link("hazard", raw["risk"] * 2 - 1 + raw[f"risk{CHANGE}"] * 0.5)
        torch.testing.assert_close(scaled(**inputs(), silence=silence)[0], expected)
        torch.testing.assert_close(scaled(**inputs())[0], link("hazard", raw["risk"] * 2 - 1))


def test_an_ensemble_ages_as_the_mean_of_its_members() -> None:
    members = [network(seed=seed) for seed in range(3)]
    with torch.no_grad():
        raw = Ensemble(members).eval()(**inputs(), silence=silences())
        assert set(raw) == {"risk", "mood", "days", f"risk{CHANGE}"}
        for name, mean in raw.items():
            own = [member(**inputs(), silence=silences())[name] for member in members]
            torch.testing.assert_close(mean, torch.stack(own).mean(dim=0))


@pytest.mark.parametrize(("kind", "precision"), [("transformer", "fp32"), ("gru", "fp32"), ("ensemble", "fp16")])
def test_its_graph_ages_as_torch_does(kind: str, precision: str, tmp_path: Path) -> None:
    if kind == "ensemble":
        scores = Scores(Ensemble([network(seed=1), network(seed=2)]))
    else:
        scores = Scores(network(replace(AGEING, backbone=kind)))
    path = tmp_path / "sequence.onnx"
    export_graph(scores, path, precision)
    shapes = [(1, 1), (2, 3), (5, 9)]
    feeds = [
        {name: tensor.numpy() for name, tensor in {**inputs(*shape), "silence": silences(*shape)}.items()}
        for shape in shapes
    ]
    assert check_parity(scores, path, precision, feeds) <= PARITY_LIMIT[precision]
    session = ort.InferenceSession(str(path))
    late = {**feeds[2], "silence": feeds[2]["silence"] * 3}
    assert np.abs(session.run(["risk"], late)[0] - session.run(["risk"], feeds[2])[0]).max() > 1e-3


def test_a_network_that_does_not_age_has_no_such_input(tmp_path: Path) -> None:
    scores = Scores(network(replace(AGEING, ageing=False)))
    export_graph(scores, tmp_path / "sequence.onnx", "fp32")
    session = ort.InferenceSession(str(tmp_path / "sequence.onnx"))
    assert [own.name for own in session.get_inputs()] == ["categorical", "numeric", "position"]
    assert not any("ageing" in name for name in scores.state_dict())
