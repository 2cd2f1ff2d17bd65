"""The ageing head: neutral until it has learned, and without silence; one more input, which no state ever hears."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch

from forewarn.model import Ensemble, HeadSpec, InputShapes, ModelConfig, Scores, SequenceModel
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
    with torch.no_grad():
        expected = plain(**inputs())
        for silence in (None, torch.zeros(3, 4), silences()):
            for name, raw in aged(**inputs(), silence=silence).items():
                assert torch.equal(raw, expected[name])


def test_without_silence_it_stays_the_network_without_it_however_much_it_has_learned() -> None:
    aged = network()
    with torch.no_grad():
        kept, asked = aged(**inputs()), aged(**inputs(), silence=torch.zeros(3, 4))
    for name, raw in asked.items():
        assert torch.equal(raw, kept[name])


def test_different_silences_give_different_risks_and_no_other_task_hears_them() -> None:
    aged = network()
    with torch.no_grad():
        found = [aged(**inputs(), silence=torch.full((3, 4), s)) for s in (0.0, 60.0, 3_600.0, DAY_S, 30 * DAY_S)]
    for earlier, later in pairwise(found):
        assert (earlier["risk"] - later["risk"]).abs().amin(dim=-1).max() > 1e-3
        assert torch.equal(earlier["mood"], later["mood"]) and torch.equal(earlier["days"], later["days"])


def test_the_silence_after_one_event_changes_the_risk_after_that_event_alone() -> None:
    aged, silence = network(), torch.zeros(3, 4)
    silence[1, 2] = DAY_S
    with torch.no_grad():
        changed = aged(**inputs(), silence=silence)["risk"] != aged(**inputs())["risk"]
    assert changed[1, 2].any()
    changed[1, 2] = False
    assert not changed.any(), "a state that was kept would be stale"


def test_an_aged_risk_never_falls_with_the_horizon() -> None:
    with torch.no_grad():
        risk = Scores(network()).eval()(**inputs(), silence=silences())[0]
    assert (risk.diff(dim=-1) >= 0).all()


def test_states_of_many_events_and_one_state_read_alone_age_alike() -> None:
    aged, silence = network(), silences()
    with torch.no_grad():
        state_BTD = aged.states(**inputs())
        stored = aged.read(state_BTD[:, -1:], silence[:, -1:])["risk"]
        torch.testing.assert_close(stored, aged(**inputs(), silence=silence)["risk"][:, -1:])


def test_an_ensemble_ages_as_the_mean_of_its_members() -> None:
    members = [network(seed=seed) for seed in range(3)]
    with torch.no_grad():
        raw = Ensemble(members).eval()(**inputs(), silence=silences())
        for head in HEADS:
            own = [member(**inputs(), silence=silences())[head.name] for member in members]
            torch.testing.assert_close(raw[head.name], torch.stack(own).mean(dim=0))


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
