"""Refitting: what validation chose stays as it was, and everything that is fitted learns from its rows too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from forewarn.bundle import Bundle, Scorer
from forewarn.model import Scores, SequenceModel
from forewarn.model.scores import Calibration
from forewarn.sequence import RaggedDataset
from training.config import ExportConfig, TrainConfig, compose
from training.export import main as export
from training.fit import REFIT, best_epoch, final_network, load_network
from training.hybrid import Hybrid
from training.measure import SplitRows, score_split
from training.network_outputs import scored_by
from training.prepare import Prepared
from training.train import train


@pytest.fixture(scope="module")
def config(small: list[str], three: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    folder = tmp_path_factory.mktemp("refit")
    made: TrainConfig = compose(
        *small, "protocol=customer", "trainer.epochs=2", "baselines=[prior,lightgbm,gru]",
        f"target={three}", "hybrid.enabled=true", "hybrid.folds=2",
        "weights.censoring=true", "refit=true", f"run={folder / 'run'}",
    )  # fmt: skip
    return made


@pytest.fixture(scope="module")
def before(config: TrainConfig, run: Path) -> Path:
    """The same run without refitting."""
    train(replace(config, refit=False, run=f"{config.run}-before"))
    return Path(f"{config.run}-before")


def told(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text())
    return found


def test_what_was_chosen_on_the_validation_rows_stays(run: Path, before: Path) -> None:
    assert (run / "bundle" / "calibration.json").read_text() == (before / "bundle" / "calibration.json").read_text()
    own, other = (told(folder)["metrics"] for folder in (run, before))
    for model in ("hybrid", "lightgbm"):
        for task in ("escalation", "next"):
            assert own[model][task]["fitted"] == other[model][task]["fitted"]
    for model in ("hybrid", "lightgbm", "gru", "transformer"):
        assert own[model]["next"]["class_weights"] == pytest.approx(other[model]["next"]["class_weights"], rel=1e-6)
    scorers = [[task.scorer for task in Bundle.load(folder / "bundle").manifest.tasks] for folder in (run, before)]
    assert scorers[0] == scorers[1] and "hybrid" in scorers[0]


def test_everything_that_is_fitted_learns_from_the_validation_rows_too(run: Path, before: Path) -> None:
    ids = {name: [row for row, _ in rows(run / "data" / "encoded" / f"{name}.arrow")] for name in ("train", "valid")}
    for folder in (run, run / "gru"):
        assert [row for row, _ in rows(folder / REFIT / "train.arrow")] == ids["train"] + ids["valid"]
        weights = [network.state_dict() for network in (load_network(folder), load_network(folder / REFIT))]
        assert any(not torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    own, other = (told(folder)["metrics"] for folder in (run, before))
    for model in ("prior", "lightgbm", "gru", "transformer", "hybrid"):
        assert own[model]["next"]["log_loss"] != other[model]["next"]["log_loss"], model
    trees, old = (Hybrid.load(folder / "hybrid.json").models for folder in (run, before))
    for task, models in trees.items():
        for model, earlier in zip(models, old[task], strict=True):
            assert model.trees == earlier.trees and model.to_dict() != earlier.to_dict()


def test_each_network_trains_as_long_as_was_best_for_it(run: Path) -> None:
    for folder in (run, run / "gru"):
        chosen, again = (
            json.loads((own / "checkpoints" / "facts.json").read_text()) for own in (folder, folder / REFIT)
        )
        assert again["epochs"] == best_epoch(chosen) and again["valid_loss"] is None
        checkpoint = torch.load(folder / REFIT / "checkpoints" / "best.ckpt", weights_only=False)
        assert checkpoint["epoch"] == best_epoch(chosen) - 1
    assert best_epoch({"curve": [{"valid/loss": loss} for loss in (3.0, 1.0, 2.0)]}) == 2


def test_the_bundle_holds_the_later_network_under_the_earlier_calibration(run: Path, config: TrainConfig) -> None:
    prepared, final = Prepared.load(run / "data" / "encoded"), final_network(run, config)
    assert isinstance(final, SequenceModel)
    later = load_network(run / REFIT).state_dict()
    assert all(torch.equal(tensor, later[name]) for name, tensor in final.state_dict().items())
    saved = json.loads((run / "bundle" / "calibration.json").read_text())
    calibration = {name: Calibration(**own) for name, own in saved.items()}
    test = SplitRows.load(prepared.split("test"), prepared.target)
    expected = scored_by(Scores(final, calibration), prepared.target)(test)
    export(OmegaConf.structured(ExportConfig(run=run.as_posix(), bundle=(run / "again").as_posix())))
    served = score_split(Scorer(Bundle.load(run / "bundle")), test.histories, prepared.target)
    again = score_split(Scorer(Bundle.load(run / "again")), test.histories, prepared.target)
    scorers = {task.name: task.scorer for task in Bundle.load(run / "bundle").manifest.tasks}
    for task, scores in served.items():
        np.testing.assert_allclose(again[task], scores, atol=1e-5)
        if scorers[task] == "transformer":
            np.testing.assert_allclose(expected[task], scores, atol=1e-5)


def rows(path: Path) -> list[tuple[str, Any]]:
    dataset = RaggedDataset(path)
    return [dataset[i] for i in range(len(dataset))]
