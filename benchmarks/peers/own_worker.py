"""forewarn's own training, timed: a JSON task on standard input, a JSON line of figures on standard output.

The module, batches and trainer are those of `training.fit`; validation, checkpoints and loggers are left out on both
sides of a comparison.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers.clock import Clock
from training.config import compose
from training.fit import make_parts, make_trainer
from training.prepare import Prepared


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """Trains for the task's seconds and tells how fast."""
    config = compose(
        *task["overrides"],
        f"optim.token_budget={task['batch']}",
        f"trainer.threads={task['threads']}",
        "trainer.epochs=1000",
        "trainer.progress=false",
    )
    module, data = make_parts(config, Prepared.load(Path(task["folder"])))
    clock = Clock(
        task["seconds"], task["warmup_steps"], lambda batch: (int(batch["length"].sum()), batch["position"].numel())
    )
    trainer = make_trainer(config, [clock], logger=False, enable_checkpointing=False, limit_val_batches=0)
    trainer.fit(module, datamodule=data)
    parameters = sum(parameter.numel() for parameter in module.model.parameters())
    return {**clock.figures(), "parameters": parameters, "versions": {"torch": torch.__version__}}


if __name__ == "__main__":
    print(json.dumps(measure(json.load(sys.stdin))))
