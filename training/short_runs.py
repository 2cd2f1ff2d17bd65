"""What a short run needs to learn at all: enough steps, an average that leaves its start, patience after the warm-up.

All of it is inert in a run of many steps.
"""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn

from training.config import OptimConfig, TrainerConfig


def least_batches(config: TrainerConfig) -> int:
    """Batches that every epoch has at least, for `least_steps` in all."""
    return -(-config.least_steps // config.epochs)


def warmup_steps(config: OptimConfig, steps: int) -> int:
    """Steps of a run's warm-up, out of all of them."""
    return max(int(config.warmup * steps), 1)


def average_decay(decay: float, steps: int) -> float:
    """Decay per step of the averaged weights in a run of so many steps.

    The average looks back over 1 / (1 - decay) steps, here over half of the run at most: the weights of its first step
    then count e^-2 at its end. At decay .98 a run of 100 steps or more is as it was.
    """
    return min(decay, max(1 - 2 / max(steps, 1), 0.0))


class Average(WeightAveraging):
    """Keeps the exponential average of the weights and validates it; the decay is that of `average_decay`."""

    def __init__(self, decay: float) -> None:
        # One call for all weights, where Lightning's EMAWeightAveraging updates them one by one.
        super().__init__(use_buffers=False, multi_avg_fn=self._update)
        self.decay = decay
        self._multi_avg = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        decay = average_decay(self.decay, int(trainer.estimated_stepping_batches))
        self._multi_avg = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]

    def _update(self, averaged: list[torch.Tensor], current: list[torch.Tensor], updates: Any) -> None:
        self._multi_avg(averaged, current, updates)


class Patience(EarlyStopping):
    """Stops when the validation loss stops falling; what it was before the end of the warm-up does not count."""

    def __init__(self, monitor: str, patience: int, optim: OptimConfig) -> None:
        super().__init__(monitor, patience=patience)
        self.optim = optim

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_step >= warmup_steps(self.optim, int(trainer.estimated_stepping_batches)):
            super().on_train_epoch_end(trainer, pl_module)
