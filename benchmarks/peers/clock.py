"""Training steps timed alike in every toolkit that trains with Lightning; needs nothing of forewarn."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl


class Clock(pl.Callback):
    """Times the steps after a warm-up and stops the training when `seconds` are over.

    `count` gives a batch's (real tokens, positions computed); the time between two steps, in which the next batch is
    read and collated, counts and is also told apart.
    """

    def __init__(self, seconds: float, warmup_steps: int, count: Callable[[Any], tuple[int, int]]) -> None:
        self.seconds, self.warmup_steps, self.count = seconds, warmup_steps, count
        self.steps = -warmup_steps
        self.real = self.computed = 0
        self.waiting_s = self.wall_s = self.cpu_s = 0.0
        self._wall = self._cpu = self._ended = 0.0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Ends the time waiting, and counts the batch."""
        if self.steps >= 0:
            self.waiting_s += time.perf_counter() - self._ended
            real, computed = self.count(batch)
            self.real += real
            self.computed += computed

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Starts the clock after the warm-up, and stops the training when its time is over."""
        self.steps += 1
        self._ended = time.perf_counter()
        if self.steps == 0:
            self._wall, self._cpu = self._ended, time.process_time()
        elif self.steps > 0:
            self.wall_s, self.cpu_s = self._ended - self._wall, time.process_time() - self._cpu
            if self.wall_s >= self.seconds:
                trainer.should_stop = True

    def figures(self) -> dict[str, float]:
        """What was measured: real tokens per second of wall clock and of CPU time, and where the rest went."""
        return {
            "tokens_per_s": self.real / self.wall_s,
            "tokens_per_cpu_s": self.real / self.cpu_s,
            "real_token_share": self.real / self.computed,
            "waiting_share": self.waiting_s / self.wall_s,
            "step_ms": 1_000 * self.wall_s / self.steps,
            "tokens_per_step": self.real / self.steps,
        }
