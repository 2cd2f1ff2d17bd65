"""Batches for Lightning: token-budget batches over the memory-mapped dataset, numpy turned into torch here."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from forewarn.sequence import INPUT_COLUMNS, EncodedHistory, RaggedDataset, TokenBudgetBatches, collate_joined, pad
from training.config import OptimConfig, TrainerConfig
from training.labelled import NO_LABEL
from training.short_runs import least_batches

log = logging.getLogger(__name__)


def encoded_row(history_id: str, arrays: dict[str, NDArray[Any]]) -> EncodedHistory:
    """The inputs of one dataset row; a row stores no event ids, since no loss and no metric needs them."""
    inputs: dict[str, Any] = {name: arrays[name] for name in INPUT_COLUMNS}
    return EncodedHistory(history_id=history_id, event_ids=(), **inputs)


class EncodedDataset(Dataset[dict[str, torch.Tensor]]):
    """Whole batches by their row indices: inputs of `collate`, `length` [B], padded labels named "<task>.<part>"."""

    def __init__(self, path: Path) -> None:
        self.rows = RaggedDataset(path)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitems__(self, indices: list[int]) -> dict[str, torch.Tensor]:
        joined, counts = self.rows.joined(indices)
        lengths = counts["position"]
        arrays: dict[str, NDArray[Any]] = collate_joined(
            joined, lengths, np.maximum(counts["text_vectors"], counts["text_words"])
        )
        for name, array in joined.items():
            if "." in name:  # labels alone are named "<task>.<part>"
                arrays[name] = pad(array, lengths, NO_LABEL[name.rpartition(".")[2]])
        arrays["length"] = lengths
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _whole(batch: Any) -> Any:
    """The batch as `__getitems__` made it: there is nothing left to collate."""
    return batch


class SequenceDataModule(pl.LightningDataModule):
    """Training and validation batches of a prepared dataset folder (`train.arrow`, `valid.arrow`)."""

    def __init__(self, folder: Path, optim: OptimConfig, seed: int, config: TrainerConfig) -> None:
        super().__init__()
        self.folder, self.optim, self.seed, self.config = folder, optim, seed, config

    def batches(self, split: str, *, shuffle: bool) -> tuple[EncodedDataset, TokenBudgetBatches]:
        """The dataset of a split and its token-budget batches for this process."""
        dataset = EncodedDataset(self.folder / f"{split}.arrow")
        trainer = self.trainer
        return dataset, TokenBudgetBatches(
            dataset.rows.lengths("position"),
            self.optim.token_budget,
            shuffle=shuffle,
            seed=self.seed,
            rank=trainer.global_rank if trainer is not None else 0,
            world_size=trainer.world_size if trainer is not None else 1,
            at_least=least_batches(self.config) if split == "train" else 0,
        )

    def setup(self, stage: str) -> None:
        """Says how often an epoch reads a small training split."""
        _, batches = self.batches("train", shuffle=True)
        if (passes := batches.passes) > 1 and batches.rank == 0:
            log.info(
                "%s training histories are few: every epoch reads them %.1f times, so that %d epochs are %d steps "
                "(trainer.least_steps=%d)",
                f"{len(batches.lengths):,}",
                passes,
                self.config.epochs,
                len(batches) * self.config.epochs,
                self.config.least_steps,
            )

    def _loader(self, split: str, *, shuffle: bool) -> DataLoader[dict[str, torch.Tensor]]:
        dataset, batches = self.batches(split, shuffle=shuffle)
        return DataLoader(
            dataset,
            batch_sampler=batches,
            collate_fn=_whole,
            num_workers=self.config.workers,
            pin_memory=torch.cuda.is_available(),
        )

    def transfer_batch_to_device(
        self, batch: dict[str, torch.Tensor], device: torch.device, dataloader_idx: int
    ) -> dict[str, torch.Tensor]:
        return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}

    def train_dataloader(self) -> DataLoader[dict[str, torch.Tensor]]:
        return self._loader("train", shuffle=True)

    def val_dataloader(self) -> DataLoader[dict[str, torch.Tensor]]:
        return self._loader("valid", shuffle=False)
