"""The GRU of the table: the run's own embedder, heads, optimiser and calibration, with a causal GRU in the middle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from forewarn.model import Scores
from training.calibration import calibrate
from training.config import LoggerConfig, TrainConfig
from training.fit import fit
from training.measure import SplitRows, measure_task
from training.network_outputs import network_outputs
from training.prepare import Prepared


def recurrent_metrics(config: TrainConfig, prepared: Prepared, test: SplitRows, folder: Path) -> dict[str, Any]:
    """Trains one GRU in `folder` and measures every task, on the rows of the transformer."""
    model = replace(config.model, backbone="gru")
    own = replace(config, model=model, logger=LoggerConfig("none"), ensemble=1, pretrained=None)
    network = fit(own, prepared, folder).model
    scores = Scores(network, calibrate(network, prepared, config.weights)).eval()
    found = network_outputs(scores, test.histories)
    return {
        task.name: measure_task(
            task, output[:, 0] if task.kind == "regression" else output, test, config.bootstrap, config.seed
        )
        for task, output in zip(prepared.target.tasks, found, strict=True)
    }
