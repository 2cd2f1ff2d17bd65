"""The LightningModule: loss, optimiser and schedule of the sequence model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from forewarn.model import HeadSpec, InputShapes, ModelConfig, SequenceModel
from forewarn.sequence import INPUT_COLUMNS
from forewarn.sequence.vocabulary import UNKNOWN
from forewarn.text.words import UNKNOWN_WORD
from training.config import OptimConfig
from training.labelled import labels_of, soft_labels_of
from training.losses import task_loss
from training.short_runs import warmup_steps
from training.silences import AGED_AT_RISK, AGED_ONSET, SILENCE
from training.weights import AGE, RowWeights

LOG_EVERY = 10  # steps between two entries of a logger; logging costs a tiny model as much as a layer


class SequenceModule(pl.LightningModule):
    """Trains a `SequenceModel`; knows nothing of the device, the number of processes or the precision it runs in."""

    def __init__(
        self,
        model: ModelConfig,
        inputs: InputShapes,
        heads: list[HeadSpec],
        optim: OptimConfig,
        seed: int,
        weights: RowWeights | None = None,
        share: float = 0.0,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(
            {"model": asdict(model), "inputs": asdict(inputs), "heads": [asdict(head) for head in heads]}
        )
        self.model = SequenceModel(model, inputs, heads)
        self.optim, self.seed, self.weights = optim, seed, weights
        self.share = share  # of the soft labels in the loss of rows that have some

    @staticmethod
    def network_from(hyperparameters: Mapping[str, Any]) -> SequenceModel:
        """An untrained network of the shape recorded in a checkpoint's hyperparameters."""
        heads = [HeadSpec(**{**head, "prior": tuple(head["prior"])}) for head in hyperparameters["heads"]]
        inputs = hyperparameters["inputs"]
        shapes = InputShapes(**{**inputs, "cardinalities": tuple(inputs["cardinalities"])})
        return SequenceModel(ModelConfig(**hyperparameters["model"]), shapes, heads)

    def loss(self, batch: dict[str, Tensor], stage: str) -> Tensor:
        """Weighted sum of the task losses, each logged under "<stage>/<task>" (in training at the steps written).

        With `model.ageing` hazards also learn from silences. What is returned, "<stage>/objective", adds their loss
        after silences; "<stage>/loss" stays that of the events themselves, as without ageing. Where a teacher gave soft
        labels, in training alone, `share` of a task's loss is against them.
        """
        shown = stage == "valid" or (self.global_step + 1) % LOG_EVERY == 0
        state_BTD = self.model.states(**{name: batch[name] for name in INPUT_COLUMNS if name in batch})
        raw = self.model.read(state_BTD)
        total = raw[self.model.head_specs[0].name].new_zeros(())
        histories = len(batch["position"])
        rows_BT = self.weights(batch[AGE]) if self.weights is not None else None
        for head in self.model.head_specs:
            labels, soft = labels_of(head.name, batch), soft_labels_of(head.name, batch)
            if self.share and soft and stage == "train":
                loss = self.taught_loss(head, raw[head.name], labels, soft, rows_BT)
            else:
                loss = self.head_loss(head, raw[head.name], labels, rows_BT)
            if shown:
                self.log(f"{stage}/{head.name}", loss, batch_size=histories, sync_dist=stage == "valid")
            total = total + head.weight * loss
        if shown:
            self.log(f"{stage}/loss", total, batch_size=histories, prog_bar=True, sync_dist=stage == "valid")
        if not self.model.config.ageing:
            return total
        objective = total + self.silence_loss(self.model.changes(state_BTD, batch[SILENCE]), raw, batch, rows_BT)
        if shown:
            self.log(f"{stage}/objective", objective, batch_size=histories, sync_dist=stage == "valid")
        return objective

    def head_loss(self, head: HeadSpec, raw: Tensor, labels: dict[str, Tensor], rows_BT: Tensor | None) -> Tensor:
        """Loss of one task from its raw outputs [B, T, K] and labels in the task's own unit."""
        if head.kind == "regression":
            labels = {"value": (labels["value"] - head.center) / head.spread}
        return task_loss(head.kind, raw, labels, self.optim.weighting, rows_BT)

    def taught_loss(
        self, head: HeadSpec, raw: Tensor, labels: dict[str, Tensor], soft: dict[str, Tensor], rows_BT: Tensor | None
    ) -> Tensor:
        """Loss of one task against its labels and, by `share`, against its soft labels."""
        if head.kind == "regression":
            # Two absolute errors add up to the same anywhere between their aims, so these become one aim.
            aim = torch.lerp(labels["value"], soft["value"], self.share)
            return self.head_loss(head, raw, {"value": aim.where(~aim.isnan(), soft["value"])}, rows_BT)
        own, teacher = (self.head_loss(head, raw, given, rows_BT) for given in (labels, soft))
        return torch.lerp(own, teacher, self.share)

    def silence_loss(
        self, changes: dict[str, Tensor], raw: dict[str, Tensor], batch: dict[str, Tensor], rows_BT: Tensor | None
    ) -> Tensor:
        """Weighted sum of the hazards' losses after silences, from what those change [B, T, S, K] of raw outputs.

        The mean over the silences of an event, each with a mean of its own: long ones weigh no less for being rare.
        """
        total = batch[SILENCE].new_zeros(())
        for head in self.model.head_specs:
            if head.name not in changes:
                continue
            onset, at_risk = (batch[f"{head.name}.{part}"] for part in (AGED_ONSET, AGED_AT_RISK))
            for number, change_BTK in enumerate(changes[head.name].unbind(2)):
                labels = {"onset": onset[:, :, number], "at_risk": at_risk[:, :, number]}
                loss = task_loss(head.kind, raw[head.name] + change_BTK, labels, self.optim.weighting, rows_BT)
                total = total + head.weight * loss / onset.shape[2]
        return total

    @property
    def monitored(self) -> str:
        """The validation loss that chooses the epoch: what training minimises."""
        return "valid/objective" if self.model.config.ageing else "valid/loss"

    def training_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
        return self.loss(self.hide(batch), "train")

    def validation_step(self, batch: dict[str, Tensor], _: int) -> Tensor:
        return self.loss(batch, "valid")

    def hide(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Field, event and word dropout: what is hidden reads as unknown or missing, like news when serving."""
        config = self.model.config
        categorical, numeric = batch["categorical"], batch["numeric"]
        event_BT1 = torch.rand(categorical.shape[:2], device=categorical.device).unsqueeze(-1) < config.event_dropout
        hidden = dict(batch)
        for name, array, blank in (("categorical", categorical, UNKNOWN), ("numeric", numeric, math.nan)):
            field = torch.rand(array.shape, device=array.device) < config.field_dropout
            hidden[name] = array.masked_fill(field | event_BT1, blank)
        if "text_index" in batch:
            hidden["text_index"] = batch["text_index"].masked_fill(event_BT1.squeeze(-1), 0)
        if "text_words" in batch:
            words = batch["text_words"]
            dropped = (torch.rand(words.shape, device=words.device) < config.word_dropout) & (words > 0)
            hidden["text_words"] = words.masked_fill(dropped, UNKNOWN_WORD)
        return hidden

    def on_train_batch_start(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        # Dropout depends on (seed, step, process) alone, so a resumed run repeats the curve of an unbroken one.
        # torch.manual_seed also seeds the accelerators, at the price of a stack trace for each kind that is not there.
        own = torch.default_generator if self.device.type == "cpu" else torch
        own.manual_seed((self.seed << 40) + (self.global_step << 8) + self.global_rank)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What the optimiser learns: no decay on vectors and embeddings."""
        decayed: list[Tensor] = []
        other: list[Tensor] = []
        for name, parameter in self.model.named_parameters():
            (decayed if parameter.ndim >= 2 and "table" not in name else other).append(parameter)
        return [{"params": decayed, "weight_decay": self.optim.weight_decay}, {"params": other, "weight_decay": 0.0}]

    def configure_optimizers(self) -> Any:
        """AdamW; linear warm-up, then cosine to a tenth of the rate."""
        optimizer = torch.optim.AdamW(
            self.parameter_groups(),
            lr=self.optim.learning_rate,
            betas=(0.9, self.optim.beta2),
            # One kernel over all weights; Lightning refuses it where it clips gradients of mixed precision.
            fused="mixed" not in str(self.trainer.precision) or None,
        )
        steps = max(int(self.trainer.estimated_stepping_batches), 1)
        warmup = warmup_steps(self.optim, steps)

        def rate(step: int) -> float:
            if step < warmup:
                return (step + 1) / warmup
            progress = (step - warmup) / max(steps - warmup, 1)
            return 0.1 + 0.45 * (1 + math.cos(math.pi * min(progress, 1.0)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
