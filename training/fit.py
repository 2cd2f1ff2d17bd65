"""Fitting with Lightning: callbacks, loggers, resuming. What runs where is the trainer config's business alone."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger

from forewarn.model import Ensemble, SequenceModel
from forewarn.sequence import RaggedDataset
from training.config import LoggerConfig, TrainConfig, TrainerConfig
from training.datamodule import SequenceDataModule
from training.heads import head_specs
from training.module import LOG_EVERY, SequenceModule
from training.prepare import Prepared
from training.pretrained import start_from
from training.short_runs import Average, Patience
from training.throughput import TOKENS_PER_S, Throughput
from training.weights import RowWeights

log = logging.getLogger(__name__)
CHECKPOINTS, LAST, BEST = "checkpoints", "last.ckpt", "best.ckpt"
_FACTS = "facts.json"  # written when a member is finished
_CHECKPOINT_PATHS = ("best_model_path", "kth_best_model_path", "last_model_path")


class BestCheckpoint(ModelCheckpoint):
    """Keeps `best` and `last`; a run whose folder was moved or copied still knows how good its best model was."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        # Lightning forgets the best score where the folder's path has changed, and a worse model would replace it.
        assert self.dirpath is not None

        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        moved = {name: here(state_dict[name]) for name in _CHECKPOINT_PATHS}
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict({**state_dict, **moved, "best_k_models": best, "dirpath": self.dirpath})


@dataclass(frozen=True)
class Fitted:
    """The network of the epoch with the lowest validation loss, and how the training went."""

    model: SequenceModel | Ensemble
    facts: dict[str, Any]


def fit(config: TrainConfig, prepared: Prepared, run: Path) -> Fitted:
    """Trains every member of the ensemble, each with a seed of its own; finished members are not trained again."""
    folders = member_folders(run, config.ensemble)
    facts: list[dict[str, Any]] = []
    for number, folder in enumerate(folders):
        if not (folder / _FACTS).is_file():
            if len(folders) > 1:
                log.info("member %d of %d", number + 1, len(folders))
            facts.append(fit_member(config, prepared, run, folder, number))
            if os.environ.get("LOCAL_RANK", "0") == "0":  # the processes of a distributed run share the folder
                (folder / f"{_FACTS}.partial").write_text(json.dumps(facts[-1]))
                (folder / f"{_FACTS}.partial").replace(folder / _FACTS)
        else:
            facts.append(json.loads((folder / _FACTS).read_text()))
    joined = facts[0] if len(facts) == 1 else _join(facts)
    return Fitted(load_network(run), joined)


def fit_member(config: TrainConfig, prepared: Prepared, run: Path, folder: Path, number: int = 0) -> dict[str, Any]:
    """Trains one network until the validation loss stops falling; `config.resume` continues from `<folder>/last.ckpt`.

    Returns how the training went; `<folder>/best.ckpt` holds the network of the epoch with the lowest validation loss.
    """
    return fit_module(config, *make_parts(config, prepared, number), run, folder)


def fit_module(
    config: TrainConfig, module: SequenceModule, data: SequenceDataModule, run: Path, folder: Path
) -> dict[str, Any]:
    """Trains a module as `fit_member` says."""
    _, batches = data.batches("train", shuffle=True)

    # `last` is written every epoch, `best` only when the validation loss improves.
    best = BestCheckpoint(folder, "best", monitor=module.monitored, save_last=True, enable_version_counter=False)
    record = Throughput()
    # The record comes before the checkpoint, so that a checkpoint holds the epoch it was written after.
    stop = Patience(module.monitored, config.trainer.patience, config.optim)
    callbacks: list[pl.Callback] = [record, stop, best]
    if config.trainer.progress:
        callbacks.append(TQDMProgressBar(leave=False))
    trainer = make_trainer(config, callbacks, logger=_loggers(config.logger, run))
    last = folder / LAST if config.resume and (folder / LAST).is_file() else None
    trainer.fit(module, datamodule=data, ckpt_path=last, weights_only=False)
    return {
        "epochs": len(record.epochs),
        "valid_loss": float(best.best_model_score) if best.best_model_score is not None else None,
        "parameters": sum(parameter.numel() for parameter in module.model.parameters()),
        "real_token_share": round(batches.real_token_share(), 4),
        "train_tokens_per_s": median(epoch[TOKENS_PER_S] for epoch in record.epochs),
        "curve": record.epochs,
    }


def make_parts(config: TrainConfig, prepared: Prepared, number: int = 0) -> tuple[SequenceModule, SequenceDataModule]:
    """The seeded module of one member and its batches; sets torch's threads."""
    seed = config.seed + number
    set_torch(config.trainer, seed)
    weights = None
    if not config.weights.uniform:
        weights = RowWeights.fit(config.weights, RaggedDataset(prepared.split("train")))
    module = SequenceModule(config.model, prepared.input_shapes, head_specs(prepared), config.optim, seed, weights)
    if config.pretrained:
        start_from(module.model, load_network(Path(config.pretrained)), number, config.pretrained)
    return module, SequenceDataModule(prepared.folder, config.optim, seed, config.trainer)


def set_torch(config: TrainerConfig, seed: int) -> None:
    """Seeds every generator and sets torch's threads."""
    pl.seed_everything(seed, workers=True, verbose=False)
    if config.threads:
        torch.set_num_threads(config.threads)
    # Deterministic algorithms would also fill every new tensor with NaN, to expose reads of memory never written.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def make_trainer(config: TrainConfig, callbacks: Sequence[pl.Callback], **more: Any) -> pl.Trainer:
    """The Lightning trainer of a configuration, averaging of weights included; `more` adds to its arguments."""
    averaging = [Average(config.optim.ema)] if config.optim.ema else []
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


def member_folders(run: Path, ensemble: int) -> list[Path]:
    """Where the checkpoints of a run's members lie; a single member needs no folder of its own."""
    folder = run / CHECKPOINTS
    return [folder] if ensemble == 1 else [folder / f"member-{number}" for number in range(ensemble)]


def load_network(run: Path) -> SequenceModel | Ensemble:
    """What a run has trained; ValueError names a checkpoint that is missing."""
    folders = sorted((run / CHECKPOINTS).glob("member-*"), key=lambda folder: int(folder.name.split("-")[1]))
    checkpoints = [folder / BEST for folder in folders or [run / CHECKPOINTS]]
    for path in checkpoints:
        if not path.is_file():
            raise ValueError(f"run: found no {path}, expected the folder of a training run; correct run=")
    members = [load_model(path) for path in checkpoints]
    return members[0] if len(members) == 1 else Ensemble(members).eval()


def _join(facts: list[dict[str, Any]]) -> dict[str, Any]:
    """The facts of an ensemble: means over its members, and each member's own."""
    joined = {name: sum(own[name] for own in facts) / len(facts) for name in ("valid_loss", "train_tokens_per_s")}
    return {
        "epochs": sum(own["epochs"] for own in facts),
        "valid_loss": joined["valid_loss"],
        "parameters": sum(own["parameters"] for own in facts),
        "real_token_share": facts[0]["real_token_share"],
        "train_tokens_per_s": round(joined["train_tokens_per_s"], 1),
        "curve": facts[0]["curve"],
        "members": facts,
    }


def refuse_used(run: Path) -> None:
    """ValueError when `run` holds checkpoints: another run's weights must not be taken for this one's."""
    if used := sorted((run / CHECKPOINTS).rglob("*.ckpt")):
        raise ValueError(
            f"run: found {used[0].name} of an earlier run in {run / CHECKPOINTS}, expected none; continue that run "
            "with resume=true, or name another folder with run=…"
        )


def check_machine(config: TrainerConfig) -> None:
    """ValueError when the machine lacks what the trainer asks for."""
    if config.accelerator in ("gpu", "cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"trainer.accelerator: found {config.accelerator!r}, but torch {torch.__version__} sees no GPU here; use "
            "trainer=cpu, or install a torch for this machine's GPU"
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
