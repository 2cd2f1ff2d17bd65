"""hotpp-benchmark's training, timed: a JSON task on standard input, a JSON line of figures on standard output.

Runs in the environment of the peer, whose own modules, losses, data pipeline and batches these are: next-event
prediction (label and time) with its causal transformer. Its RMSNorm and gated MLP are chosen to match ours; of its
position encodings the default, which is also its fastest.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from importlib.metadata import version
from typing import Any

import pytorch_lightning as pl
import torch
from hotpp.data.module import HotppDataModule
from hotpp.losses import CrossEntropyLoss, NextItemLoss, TimeMAELoss
from hotpp.modules import NextItemModule
from hotpp.nn import Embedder, Head, SimpleTransformer, TransformerEncoder

from benchmarks.peers.clock import Clock


def build(task: dict[str, Any], embedding: int) -> NextItemModule:
    """The peer's model at the task's width, layers, heads and MLP, with `embedding` numbers per categorical value."""
    model = task["model"]
    embedder = Embedder(
        embeddings={name: {"in": size, "out": embedding} for name, size in task["categorical"].items()},
        numeric_values=dict.fromkeys(task["numeric"], "identity"),
    )
    transformer = partial(
        SimpleTransformer,
        n_positions=task["longest"] + 1,  # it puts a start token before every history
        n_embd=model["width"],
        n_layer=model["layers"],
        n_head=model["heads"],
        n_inner=model["mlp_width"],
        dropout=model["dropout"],
        causal=True,
        activation=torch.nn.functional.silu,
        normalization=torch.nn.RMSNorm,
        mlp="gated",
    )
    losses = {"labels": CrossEntropyLoss(task["labels"]), "timestamps": TimeMAELoss()}
    return NextItemModule(
        seq_encoder=TransformerEncoder(embedder, transformer),
        loss=NextItemLoss(losses),
        head_partial=Head,
        optimizer_partial=partial(torch.optim.AdamW, lr=1e-3),
        autoreg_max_steps=1,
    )


def parameters(module: torch.nn.Module) -> int:
    """Number of trained weights."""
    return sum(parameter.numel() for parameter in module.parameters())


def nearest(task: dict[str, Any]) -> NextItemModule:
    """The model whose size comes closest to the task's `parameters`, by the width of its categorical embeddings."""
    smaller, larger = (parameters(build(task, embedding)) for embedding in (1, 2))
    embedding = max(1, 1 + round((task["parameters"] - smaller) / (larger - smaller)))
    return build(task, embedding)


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """Trains for the task's seconds and tells how fast."""
    torch.set_num_threads(task["threads"])
    pl.seed_everything(0, verbose=False)
    module = nearest(task)
    # Its batches hold a number of histories: as many as fill the token budget with histories of the mean length.
    histories = max(1, round(task["batch"] / task["mean_length"]))
    data = HotppDataModule(
        train_path=task["parquet"],
        train_params={"batch_size": histories, "num_workers": 0},
        fields=[*task["categorical"], *task["numeric"], "labels"],
    )
    clock = Clock(task["seconds"], task["warmup_steps"], count)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=1000,
        gradient_clip_val=1.0,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, datamodule=data)
    versions = {name: version(name) for name in ("hotpp-benchmark", "torch", "pytorch-lightning")}
    return {**clock.figures(), "parameters": parameters(module), "histories_per_step": histories, "versions": versions}


def count(batch: Any) -> tuple[int, int]:
    """Real events and computed positions of a batch, the start tokens left out of the first and part of the second."""
    events, _ = batch
    size, longest = events.shape
    return int(events.seq_lens.sum()), size * (longest + 1)


if __name__ == "__main__":
    print(json.dumps(measure(json.load(sys.stdin))))
