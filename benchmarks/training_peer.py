"""`python -m benchmarks.training_peer`: forewarn's training against hotpp-benchmark's on the same events, in one run.

Both train a causal transformer of equal size on next-event prediction with PyTorch Lightning, fp32, on the CPU. The
peer gets an environment of its own, below `cache`. Measurements take turns in a random order, so that a machine that
slows down slows both. Writes <out>/training-<split>-<cores>-core-cpu-<date>.json and its table as .md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from benchmarks.peers.environment import PEER, peer_python, run_worker
from benchmarks.peers.events import export_parquet
from benchmarks.peers.page import render
from benchmarks.provenance import run_facts
from benchmarks.statistics import summarise, summarise_each
from benchmarks.suite import repeat_all
from forewarn.model import ModelConfig
from training.command import run_command
from training.config import compose, typed
from training.fit import make_parts
from training.prepare import Prepared, prepare
from training.target import load_target

OWN = "forewarn"
_SHOWN = ("histories", "events", "mean_length", "longest")
_RATIOS = ("tokens_per_s", "tokens_per_cpu_s")


@dataclass
class TrainingPeerConfig:
    """What is trained, and for how long it is measured."""

    dataset: str = "uci_servicenow"  # a name in conf/data
    split: str = "temporal"  # a name in conf/protocol; its training split is what both train on
    models: list[str] = field(default_factory=lambda: ["tiny", "base"])  # names in conf/model
    budgets: list[int] = field(default_factory=lambda: [512, 2048])  # events per batch
    repeats: int = 3
    seconds: float = 6.0  # of one measurement, at least one step
    warmup_steps: int = 3  # steps before the clock starts
    threads: int = 1  # of torch; two on a shared two-core machine measure its neighbours
    seed: int = 0  # of the order of measurements
    cache: str = "runs/bench/training_peer"  # folder of the peer's environment and of the prepared events
    out: str = "benchmarks/results"  # folder that the result file and its table go to

    def __post_init__(self) -> None:
        if self.repeats < 3:
            raise ValueError(f"repeats: found {self.repeats}, expected at least 3; raise it")
        if not self.models or not self.budgets:
            raise ValueError("models, budgets: found an empty list, expected at least one of each; add one")


def run(config: TrainingPeerConfig) -> dict[str, Any]:
    """Runs, writes, and returns the files written and the ratios."""
    result = compare(config)
    facts = result["provenance"]
    device = f"{facts['host']['cores']}-core-cpu"
    path = Path(config.out) / f"training-{config.split}-{device}-{facts['time'][:10]}.json"
    table = path.with_suffix(".md")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    table.write_text(render(result))
    shown = {f"{own['model']}, {own['batch']}": own["tokens_per_s"]["mean"] for own in result["ratios"]}
    return {"folder": path.parent, "file": path, "table": table, "ratio of real tokens/s": shown}


def compare(config: TrainingPeerConfig) -> dict[str, Any]:
    """The whole result as plain JSON values."""
    cache = Path(config.cache).absolute()
    facts = run_facts("benchmarks.training_peer", asdict(config))
    pythons = {OWN: None, PEER: peer_python(cache)}
    base = [f"data={config.dataset}", f"protocol={config.split}", "target=next_event", "text=none", "run=unused"]
    GlobalHydra.instance().clear()  # Hydra composes one configuration at a time, and this command's own is done
    own = compose(*base)
    prepared = prepare(own, load_target(own), cache / f"{config.dataset}-{config.split}")
    events = export_parquet(prepared, cache / f"{config.dataset}-{config.split}" / "train.parquet")
    measured: dict[tuple[str, str, int], list[dict[str, Any]]] = {}

    def measure(model: str, side: str, budget: int, task: Mapping[str, Any]) -> None:
        worker = "own_worker" if side == OWN else "hotpp_worker"
        measured.setdefault((model, side, budget), []).append(
            run_worker(worker, {**task, "batch": budget}, pythons[side])
        )

    plan = []
    for model in config.models:
        task = _task(config, [*base, f"model={model}"], prepared, events)
        for side in pythons:
            for budget in config.budgets:
                plan.append((f"{model}, {side}, {budget}", partial(measure, model, side, budget, task)))
    repeat_all(plan, config.repeats, config.seed)
    rows = [_row(*key, repeats) for key, repeats in sorted(measured.items())]
    data = {"name": config.dataset, "protocol": config.split, **{name: events[name] for name in _SHOWN}}
    return {"format": 1, "provenance": facts, "data": data, "rows": rows, "ratios": ratios(rows)}


def _task(
    config: TrainingPeerConfig, overrides: list[str], prepared: Prepared, events: Mapping[str, Any]
) -> dict[str, Any]:
    own = compose(*overrides)
    module, _ = make_parts(own, prepared)
    model: ModelConfig = own.model
    return {
        **events,
        "overrides": overrides,
        "folder": str(prepared.folder),
        "model": asdict(model),
        "parameters": sum(parameter.numel() for parameter in module.model.parameters()),
        "seconds": config.seconds,
        "warmup_steps": config.warmup_steps,
        "threads": config.threads,
    }


def _row(model: str, side: str, budget: int, repeats: list[dict[str, Any]]) -> dict[str, Any]:
    names = ("parameters", "versions", "histories_per_step")
    facts: dict[str, Any] = {name: repeats[0][name] for name in names if name in repeats[0]}
    figures = [{name: value for name, value in own.items() if name not in facts} for own in repeats]
    return {"model": model, "toolkit": side, "budget": budget, **facts, **summarise_each(figures)}


def ratios(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Ours over the peer's, repeat by repeat: at each budget, and each at its own best budget."""
    found = []
    for model in dict.fromkeys(row["model"] for row in rows):
        own, peer = ([row for row in rows if (row["model"], row["toolkit"]) == (model, side)] for side in (OWN, PEER))
        pairs = [(f"{ours['budget']} events", ours, theirs) for ours, theirs in zip(own, peer, strict=True)]
        best = [max(side, key=lambda row: row["tokens_per_s"]["mean"]) for side in (own, peer)]
        pairs.append((f"best of each ({best[0]['budget']} and {best[1]['budget']} events)", best[0], best[1]))
        for batch, ours, theirs in pairs:
            ratio = {
                name: summarise([a / b for a, b in zip(ours[name]["values"], theirs[name]["values"], strict=True)])
                for name in _RATIOS
            }
            size = theirs["parameters"] / ours["parameters"]
            found.append({"model": model, "batch": batch, "size": round(size, 4), **ratio})
    return found


@hydra.main(version_base="1.3", config_path="../conf", config_name="bench_training")
def command(config: DictConfig) -> None:
    """Hydra entry point."""
    run_command(lambda composed: run(typed(composed, TrainingPeerConfig)), config)


ConfigStore.instance().store(name="bench_training_schema", node=TrainingPeerConfig)

if __name__ == "__main__":
    command()
