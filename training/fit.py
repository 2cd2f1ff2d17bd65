"""Fitting with Lightning: callbacks, loggers, resuming. What runs where is the trainer config's business alone."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger

from forewarn.model import Ensemble, SequenceModel
from forewarn.sequence import RaggedDataset
from training.command import is_first_process
from training.config import LoggerConfig, TrainConfig, TrainerConfig
from training.datamodule import SequenceDataModule
from training.heads import head_specs
from training.module import LOG_EVERY, SequenceModule
from training.prepare import Prepared
from training.pretrained import start_from
from training.short_runs import Average, Patience
from training.throughput import OBJECTIVE, TOKENS_PER_S, VALID_LOSS, Throughput
from training.weights import RowWeights

log = logging.getLogger(__name__)
CHECKPOINTS, LAST, BEST = "checkpoints", "last.ckpt", "best.ckpt"
REFIT = "refit"  # folder below a run's, of its networks that learned from the validation rows too
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

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        # Lightning writes `last` only with a new best, and a killed run would repeat all epochs after its best one.
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))


class StopAfter(pl.Callback):
    """Ends a training after some of the epochs that its learning rate was laid out for."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs


@dataclass(frozen=True)
class Fitted:
    """The network of the epoch with the lowest validation loss, and how the training went."""

    model: SequenceModel | Ensemble
    facts: dict[str, Any]


def fit(config: TrainConfig, prepared: Prepared, run: Path, epochs: Sequence[int] | None = None) -> Fitted:
    """Trains every member of the ensemble, each with a seed of its own; finished members are not trained again.

    `epochs` ends each member after its own number of them, whatever the validation loss says.
    """
    folders = member_folders(run, config.ensemble)
    facts: list[dict[str, Any]] = []
    for number, folder in enumerate(folders):
        if not (folder / _FACTS).is_file():
            if len(folders) > 1:
                log.info("member %d of %d", number + 1, len(folders))
            own = epochs[number] if epochs is not None else None
            facts.append(fit_member(config, prepared, run, folder, number, own))
            if is_first_process():  # those of a distributed run share the folder
                (folder / f"{_FACTS}.partial").write_text(json.dumps(facts[-1]))
                (folder / f"{_FACTS}.partial").replace(folder / _FACTS)
        else:
            facts.append(json.loads((folder / _FACTS).read_text()))
    joined = facts[0] if len(facts) == 1 else _join(facts)
    return Fitted(load_network(run), joined)


def refit(config: TrainConfig, prepared: Prepared, fitted: Fitted, run: Path) -> Fitted:
    """What `fit` returned, trained again below `run` on training and validation rows together.

    Each member trains for as many epochs as were best for it when the validation rows could still tell.
    """
    log.info("training again, with the validation rows")
    epochs = [best_epoch(facts) for facts in fitted.facts.get("members", [fitted.facts])]
    return fit(replace(config, logger=LoggerConfig("none")), replace(prepared, folder=run / REFIT), run / REFIT, epochs)


def best_epoch(facts: dict[str, Any]) -> int:
    """The epoch, from 1, with the lowest validation loss of one member's training."""
    losses = [epoch.get(OBJECTIVE, epoch[VALID_LOSS]) for epoch in facts["curve"]]
    return 1 + losses.index(min(losses))


def fit_member(
    config: TrainConfig, prepared: Prepared, run: Path, folder: Path, number: int = 0, epochs: int | None = None
) -> dict[str, Any]:
    """Trains one network until the validation loss stops falling; `config.resume` continues from `<folder>/last.ckpt`.

    Returns how the training went; `<folder>/best.ckpt` holds the network of the epoch with the lowest validation loss,
    or of the last of `epochs`.
    """
    return fit_module(config, *make_parts(config, prepared, number), run, folder, epochs)


def fit_module(
    config: TrainConfig,
    module: SequenceModule,
    data: SequenceDataModule,
    run: Path,
    folder: Path,
    epochs: int | None = None,
) -> dict[str, Any]:
    """Trains a module as `fit_member` says."""
    _, batches = data.batches("train", shuffle=True)

    # `last` is written every epoch, `best` only when the validation loss improves or where nothing validates.
    monitored = module.monitored if epochs is None else None
    best = BestCheckpoint(folder, "best", monitor=monitored, save_last=True, enable_version_counter=False)
    record = Throughput()
    patience = config.trainer.patience
    end = Patience(module.monitored, patience, config.optim) if epochs is None else StopAfter(epochs)
    # The record comes before the checkpoint, so that a checkpoint holds the epoch it was written after.
    callbacks: list[pl.Callback] = [record, end, best]
    if config.trainer.progress:
        callbacks.append(TQDMProgressBar(leave=False))
    validating = {} if epochs is None else {"limit_val_batches": 0}
    trainer = make_trainer(config, callbacks, logger=_loggers(config.logger, run), **validating)
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
    share = config.distillation.share if config.distillation.teacher else 0.0
    heads = head_specs(prepared)
    module = SequenceModule(config.model, prepared.input_shapes, heads, config.optim, seed, weights, share)
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


def final_network(run: Path, config: TrainConfig) -> SequenceModel | Ensemble:
    """What a run ships: its networks that learned from the validation rows too, where it has finished them."""
    again = member_folders(run / REFIT, config.ensemble)
    return load_network(run / REFIT if all((folder / _FACTS).is_file() for folder in again) else run)


def _join(facts: list[dict[str, Any]]) -> dict[str, Any]:
    """The facts of an ensemble: means over its members, and each member's own."""
    speed = sum(own["train_tokens_per_s"] for own in facts) / len(facts)
    losses = [own["valid_loss"] for own in facts if own["valid_loss"] is not None]
    return {
        "epochs": sum(own["epochs"] for own in facts),
        "valid_loss": sum(losses) / len(facts) if len(losses) == len(facts) else None,
        "parameters": sum(own["parameters"] for own in facts),
        "real_token_share": facts[0]["real_token_share"],
        "train_tokens_per_s": round(speed, 1),
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
