"""The GRU of the table: the run's own embedder, heads, optimiser and calibration, with a causal GRU in the middle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from forewarn.model import Scores
from training.calibration import calibrate
from training.config import DistillationConfig, LoggerConfig, TrainConfig
from training.fit import REFIT, fit, refit
from training.measure import SplitRows
from training.network_outputs import scored_by
from training.predictions import Predictions
from training.prepare import Prepared


def recurrent_baseline(
    config: TrainConfig, prepared: Prepared, valid: SplitRows, test: SplitRows, folder: Path
) -> Predictions:
    """Trains one GRU in `folder`; what it says of the rows of the transformer."""
    model = replace(config.model, backbone="gru")
    alone = DistillationConfig()
    own = replace(config, model=model, logger=LoggerConfig("none"), ensemble=1, pretrained=None, distillation=alone)
    fitted = fit(own, prepared, folder)
    calibration = calibrate(fitted.model, prepared, config.weights)
    chosen = scored_by(Scores(fitted.model, calibration), prepared.target)
    if not config.refit:
        return Predictions.of(chosen, prepared.target, valid, test)
    prepared.learning_from_all(folder / REFIT)
    final = scored_by(Scores(refit(own, prepared, fitted, folder).model, calibration), prepared.target)
    return Predictions.of(final, prepared.target, valid, test, chosen=chosen)
