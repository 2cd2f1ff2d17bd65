"""Ensembles: one graph whose raw outputs are the mean of its members'."""

from __future__ import annotations

from pathlib import Path

import torch

from forewarn.model import Ensemble, HeadSpec, InputShapes, ModelConfig, Scores, SequenceModel
from training.onnx_export import check_parity, export_graph

TINY = ModelConfig("tiny", 32, 1, 2, 2, 64, 4)
SHAPES = InputShapes((5, 7), 3)
HEADS = [HeadSpec("risk", "hazard", 2), HeadSpec("mood", "classification", 3), HeadSpec("days", "regression", 1)]


def member(seed: int) -> SequenceModel:
    torch.manual_seed(seed)
    return SequenceModel(TINY, SHAPES, HEADS).eval()


def inputs() -> dict[str, torch.Tensor]:
    torch.manual_seed(9)
    return {
        "categorical": torch.randint(0, 5, (3, 4, 2)),
        "numeric": torch.randn(3, 4, 3),
        "position": torch.arange(4.0).expand(3, 4).contiguous(),
    }


def test_an_ensemble_says_the_mean_of_its_members() -> None:
    members = [member(seed) for seed in range(3)]
    raw = Ensemble(members).eval()(**inputs())
    for head in HEADS:
        expected = torch.stack([own(**inputs())[head.name] for own in members]).mean(dim=0)
        torch.testing.assert_close(raw[head.name], expected)


def test_an_ensemble_is_exported_as_one_graph(tmp_path: Path) -> None:
    scores = Scores(Ensemble([member(0), member(1)]))
    export_graph(scores, tmp_path / "sequence.onnx", "fp32")
    feed = {name: tensor.numpy() for name, tensor in inputs().items()}
    assert check_parity(scores, tmp_path / "sequence.onnx", "fp32", [feed]) <= 1e-5
