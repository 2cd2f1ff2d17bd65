"""The GRU in the transformer's place: causal, trainable, exportable, and a row of the table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from forewarn.bundle import Bundle, Scorer
from forewarn.model import HeadSpec, InputShapes, ModelConfig, Scores, SequenceModel
from training.config import compose
from training.onnx_export import check_parity, export_graph
from training.train import train

SHAPES = InputShapes((7, 5), 3)


def network() -> Scores:
    torch.manual_seed(0)
    config = ModelConfig("tiny", 32, 2, 2, 2, 64, 4, backbone="gru")
    heads = [HeadSpec("risk", "hazard", 3), HeadSpec("mood", "classification", 4), HeadSpec("wait", "regression", 1)]
    return Scores(SequenceModel(config, SHAPES, heads)).eval()


def feed(batch: int, events: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(batch * 1_000 + events)
    return {
        "categorical": rng.integers(0, 5, (batch, events, 2)),
        "numeric": rng.normal(size=(batch, events, 3)).astype(np.float32),
        "position": rng.uniform(0, 9, (batch, events)).cumsum(axis=1).astype(np.float32),
    }


def test_its_graph_says_what_torch_says_for_any_batch_and_length(tmp_path: Path) -> None:
    scores, path = network(), tmp_path / "gru.onnx"
    export_graph(scores, path, "fp32")
    shapes = [(1, 1), (1, 7), (5, 3), (3, 5), (2, 3), (33, 64)]
    assert check_parity(scores, path, "fp32", (feed(*shape) for shape in shapes)) <= 1e-5


def test_a_later_event_changes_no_earlier_score() -> None:
    scores, whole = network(), feed(2, 9)
    with torch.no_grad():
        full = scores(**{name: torch.from_numpy(array) for name, array in whole.items()})
        part = scores(**{name: torch.from_numpy(array[:, :4]) for name, array in whole.items()})
    for long, short in zip(full, part, strict=True):
        torch.testing.assert_close(long[:, :4], short)


def test_it_trains_and_ships_under_its_own_name(small: list[str], tmp_path: Path) -> None:
    config = compose(*small, "model.backbone=gru", "baselines=[prior,gru]", f"run={tmp_path / 'run'}")
    result = train(config)
    bundle = Bundle.load(result["bundle"])
    assert [task.scorer for task in bundle.manifest.tasks] == ["gru"]
    assert bundle.manifest.parity["fp32"] <= 1e-4
    assert len(Scorer(bundle).tasks) == 1
    assert not (tmp_path / "run" / "gru").exists(), "the model is the GRU already"


def test_another_backbone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"model\.backbone: found 'lstm', expected one of transformer, gru"):
        replace(ModelConfig(), backbone="lstm")
