"""The record of a training, epoch by epoch: losses and how fast it went, for the log, the logger and the curve."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytorch_lightning as pl
import torch

log = logging.getLogger(__name__)
TRAIN_LOSS, VALID_LOSS, OBJECTIVE = "train/loss", "valid/loss", "valid/objective"
TOKENS_PER_S, REAL_SHARE, WAITING_SHARE = "train/tokens_per_s", "train/real_token_share", "train/waiting_share"


class Throughput(pl.Callback):
    """Measures every epoch; `epochs` holds one entry each, and lives in the checkpoint, so a resumed run continues it.

    - `train/loss`: mean over the epoch's steps; `valid/loss`: that of the weights that would be kept, if any validate.
      Where a head ages, the first counts silences too, and `valid/objective` is the same of the validation split.
    - `train/tokens_per_s`: real events per second of training, all processes together; padding and validation left out.
    - `train/real_token_share`: real events over all positions computed.
    - `train/waiting_share`: share of the time between a step's end and the next one's start, in which the batch is
      read, collated and moved to the device.
    """

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []
        self._start = self._ended = self._waiting_s = 0.0
        # Sums stay where the batches lie: reading one would make the host wait for a GPU at every step.
        self._loss: float | torch.Tensor = 0.0
        self._real: int | torch.Tensor = 0
        self._computed = self._steps = 0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start = self._ended = time.perf_counter()
        self._waiting_s, self._loss, self._real, self._computed, self._steps = 0.0, 0.0, 0, 0, 0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: dict[str, torch.Tensor], batch_idx: int
    ) -> None:
        self._waiting_s += time.perf_counter() - self._ended
        self._real = self._real + batch["length"].sum()
        self._computed += batch["position"].numel()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._loss = self._loss + outputs["loss"].detach()
        self._steps += 1
        self._ended = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        real, steps = int(self._real), max(self._steps, 1)
        seconds = max(self._ended - self._start, 1e-9)
        figures = {
            TOKENS_PER_S: round(self._reduced(trainer, real / seconds, "sum"), 1),
            REAL_SHARE: round(real / max(self._computed, 1), 4),
            WAITING_SHARE: round(self._waiting_s / seconds, 4),
        }
        for name, value in figures.items():
            pl_module.log(name, value, prog_bar=name == TOKENS_PER_S)
        train = self._reduced(trainer, float(self._loss) / steps, "mean")
        metrics = trainer.callback_metrics
        found = {name: float(metrics[name]) for name in (VALID_LOSS, OBJECTIVE) if name in metrics}
        self.epochs.append({TRAIN_LOSS: train, **found, **figures})
        if trainer.is_global_zero:
            log.info(
                "epoch %d of %s: train loss %.4f, %s%s real tokens/s, %.1f %% of the tokens real, "
                "%.1f %% of the time waiting for batches",
                trainer.current_epoch + 1,
                trainer.max_epochs,
                train,
                f"valid loss {found[VALID_LOSS]:.4f}, " if VALID_LOSS in found else "",
                f"{figures[TOKENS_PER_S]:,.0f}",
                100 * figures[REAL_SHARE],
                100 * figures[WAITING_SHARE],
            )

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs = list(state_dict["epochs"])

    @staticmethod
    def _reduced(trainer: pl.Trainer, value: float, how: str) -> float:
        own = torch.tensor(value, device=trainer.strategy.root_device)
        return float(trainer.strategy.reduce(own, reduce_op=how))
