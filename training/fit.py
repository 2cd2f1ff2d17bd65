"""Fitting with Lightning: callbacks, loggers, resuming. What runs where is the trainer config's business alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint, TQDMProgressBar, WeightAveraging
from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger
from torch.optim.swa_utils import get_ema_multi_avg_fn

from forewarn.model import SequenceModel
from training.config import LoggerConfig, TrainConfig
from training.datamodule import SequenceDataModule
from training.heads import head_specs
from training.module import LOG_EVERY, SequenceModule
from training.prepare import Prepared
from training.throughput import TOKENS_PER_S, Throughput

CHECKPOINTS, LAST = "checkpoints", "last.ckpt"


@dataclass(frozen=True)
class Fitted:
    """The network of the epoch with the lowest validation loss, and how the training went."""

    model: SequenceModel
    facts: dict[str, Any]


def fit(config: TrainConfig, prepared: Prepared, run: Path) -> Fitted:
    """Trains until the validation loss stops falling; continues from `<run>/checkpoints/last.ckpt` if that exists."""
    module, data = make_parts(config, prepared)
    _, batches = data.batches("train", shuffle=True)

    folder = run / CHECKPOINTS
    # `last` is written every epoch, `best` only when the validation loss improves.
    best = ModelCheckpoint(folder, "best", monitor="valid/loss", save_last=True, enable_version_counter=False)
    record = Throughput()
    # The record comes before the checkpoint, so that a checkpoint holds the epoch it was written after.
    callbacks: list[pl.Callback] = [record, EarlyStopping("valid/loss", patience=config.trainer.patience), best]
    if config.trainer.progress:
        callbacks.append(TQDMProgressBar(leave=False))
    trainer = make_trainer(config, callbacks, logger=_loggers(config.logger, run))
    last = folder / LAST
    trainer.fit(module, datamodule=data, ckpt_path=str(last) if last.is_file() else None, weights_only=False)
    facts = {
        "epochs": len(record.epochs),
        "valid_loss": float(best.best_model_score) if best.best_model_score is not None else None,
        "parameters": sum(parameter.numel() for parameter in module.model.parameters()),
        "real_token_share": round(batches.real_token_share(), 4),
        "train_tokens_per_s": median(epoch[TOKENS_PER_S] for epoch in record.epochs),
        "curve": record.epochs,
    }
    return Fitted(load_model(Path(best.best_model_path)), facts)


def make_parts(config: TrainConfig, prepared: Prepared) -> tuple[SequenceModule, SequenceDataModule]:
    """The seeded module and its batches; sets torch's threads."""
    pl.seed_everything(config.seed, workers=True, verbose=False)
    if config.trainer.threads:
        torch.set_num_threads(config.trainer.threads)
    # Deterministic algorithms would also fill every new tensor with NaN, to expose reads of memory never written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    module = SequenceModule(config.model, prepared.input_shapes, head_specs(prepared), config.optim, config.seed)
    return module, SequenceDataModule(prepared.folder, config.optim, config.seed, config.trainer.workers)


def make_trainer(config: TrainConfig, callbacks: Sequence[pl.Callback], **more: Any) -> pl.Trainer:
    """The Lightning trainer of a configuration, averaging of weights included; `more` adds to its arguments."""
    averaging = []
    if config.optim.ema:
        # One call for all weights, where Lightning's EMAWeightAveraging updates them one by one.
        average = get_ema_multi_avg_fn(config.optim.ema)  # type: ignore[no-untyped-call]
        averaging.append(WeightAveraging(use_buffers=False, multi_avg_fn=average))
    return pl.Trainer(
        accelerator=config.trainer.accelerator,
        devices=config.trainer.devices,
        strategy=config.trainer.strategy,
        precision=config.trainer.precision,  # type: ignore[arg-type]
        max_epochs=config.trainer.epochs,
        gradient_clip_val=config.optim.clip,
        deterministic=config.trainer.deterministic,
        callbacks=[*callbacks, *averaging],
        enable_progress_bar=config.trainer.progress,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=LOG_EVERY,
        use_distributed_sampler=False,  # token-budget batches shard themselves
        reload_dataloaders_every_n_epochs=1,  # each epoch has its own order of batches
        **more,
    )


def load_model(checkpoint: Path) -> SequenceModel:
    """The network of a checkpoint, in evaluation mode on the CPU."""
    saved = torch.load(checkpoint, map_location="cpu", weights_only=False)
    model = SequenceModule.network_from(saved["hyper_parameters"])
    model.load_state_dict(
        {name.removeprefix("model."): tensor for name, tensor in saved["state_dict"].items() if "model." in name}
    )
    return model.eval()


def _loggers(config: LoggerConfig, run: Path) -> list[Logger]:
    if config.kind == "tensorboard":
        return [TensorBoardLogger(str(run), name="tensorboard", version="")]
    if config.kind == "mlflow":
        uri = config.tracking_uri or f"sqlite:///{(run / 'mlflow.db').absolute()}"
        return [MLFlowLogger(config.experiment, tracking_uri=uri)]
    if config.kind == "none":
        return []
    raise ValueError(f"logger.kind: found {config.kind!r}, expected tensorboard, mlflow or none; use logger=none")
