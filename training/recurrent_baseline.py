"""The GRU of the table: the run's own embedder, heads, optimiser and calibration, with a causal GRU in the middle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from forewarn.model import Scores
from training.calibration import calibrate
from training.config import DistillationConfig, LoggerConfig, TrainConfig
from training.fit import fit
from training.measure import SplitRows, TaskScores
from training.network_outputs import network_outputs
from training.prepare import Prepared


def recurrent_scores(config: TrainConfig, prepared: Prepared, folder: Path) -> Callable[[SplitRows], TaskScores]:
    """Trains one GRU in `folder`; what scores every task with it, on the rows of the transformer."""
    model = replace(config.model, backbone="gru")
    alone = DistillationConfig()
    own = replace(config, model=model, logger=LoggerConfig("none"), ensemble=1, pretrained=None, distillation=alone)
    network = fit(own, prepared, folder).model
    scores = Scores(network, calibrate(network, prepared, config.weights)).eval()

    def score(rows: SplitRows) -> TaskScores:
        found = network_outputs(scores, rows.histories)
        return {
            task.name: output[:, 0] if task.kind == "regression" else output
            for task, output in zip(prepared.target.tasks, found, strict=True)
        }

    return score
