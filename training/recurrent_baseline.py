"""The GRU of the table: the run's own embedder, heads, optimiser and calibration, with a causal GRU in the middle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from forewarn.model import Scores
from training.calibration import calibrate
from training.config import LoggerConfig, TrainConfig
from training.fit import fit
from training.measure import SplitRows, TaskScores
from training.network_outputs import network_outputs
from training.prepare import Prepared


def recurrent_scores(config: TrainConfig, prepared: Prepared, test: SplitRows, folder: Path) -> TaskScores:
    """Trains one GRU in `folder` and scores every task, on the rows of the transformer."""
    model = replace(config.model, backbone="gru")
    own = replace(config, model=model, logger=LoggerConfig("none"), ensemble=1, pretrained=None)
    network = fit(own, prepared, folder).model
    scores = Scores(network, calibrate(network, prepared, config.weights)).eval()
    found = network_outputs(scores, test.histories)
    return {
        task.name: output[:, 0] if task.kind == "regression" else output
        for task, output in zip(prepared.target.tasks, found, strict=True)
    }
