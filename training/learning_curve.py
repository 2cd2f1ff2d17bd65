"""`python -m training.learning_curve experiment=…`: would more data help? A training on growing shares of it.

Every run validates and tests on the same histories, and the training histories of a smaller share lie within those of a
larger one. The same command continues what was interrupted. The run folder holds a folder per share; when all are
finished, report.md and record.json.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from training.command import make_folder, run_command
from training.config import TrainConfig, typed
from training.provenance import origin as this_process
from training.report import METRICS, SHOWN_MODELS, in_order, interval, table
from training.results.record import RECORD, REPORT, Record, note_origin, run_record, write_page
from training.runs import TRAIN, finish_run, override_name

log = logging.getLogger(__name__)
_OWN = ("shares", "run", "resume", "page")  # not handed on
_SHOWN = ("auroc", "accuracy", "macro_f1", "log_loss", "mae")


@dataclass
class LearningCurveConfig(TrainConfig):
    """`python -m training.learning_curve`: a training on several shares of the training histories."""

    shares: list[float] = field(default_factory=lambda: [0.1, 0.25, 0.5, 1.0])  # of the training histories

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.shares) < 2 or not all(0 < share <= 1 for share in self.shares):
            raise ValueError(
                f"shares: found {self.shares}, expected two or more above 0 and up to 1; use shares=[0.1,0.25,0.5,1]"
            )
        if self.protocol.train_fraction != 1:
            raise ValueError(
                f"protocol.train_fraction: found {self.protocol.train_fraction}, expected 1, since shares= sets it for "
                "every run; leave it out"
            )
        if not self.measure:
            raise ValueError("measure: found false, expected true, since every run is tested; leave it out")


ConfigStore.instance().store(name="learning_curve_schema", node=LearningCurveConfig)


def learning_curve(config: LearningCurveConfig, overrides: Sequence[str]) -> dict[str, Any]:
    """Trains on what is left of the shares; ``overrides`` are those that the configuration was made with.

    Raises ValueError where a run ends with an error.
    """
    run = Path(config.run)
    make_folder(run, "run")
    note_origin(run)
    if config.page:
        make_folder(Path(config.page).parent, "page")
    kept = [own for own in overrides if override_name(own) not in _OWN]
    shares = sorted(set(config.shares))
    folders = [run / f"share-{share:g}" for share in shares]
    for number, (share, folder) in enumerate(zip(shares, folders, strict=True), 1):
        log.info("share %d of %d: %g of the training histories", number, len(shares), share)
        finish_run(TRAIN, [*kept, f"protocol.train_fraction={share:g}"], folder)
    records = [run_record(folder) for folder in folders]
    whole = records[-1] | this_process() | {"date": f"{datetime.now(UTC):%Y-%m-%d}"}
    parts = [
        {"share": share, "histories": own["data"]["histories"], "metrics": own["metrics"]}
        for share, own in zip(shares, records, strict=True)
    ]
    record = {name: own for name, own in whole.items() if name not in ("metrics", "shipped", "model")}
    record |= {"model": whole["model"]["name"], "shares": parts}
    page = learning_curve_page(record)
    (run / REPORT).write_text(page)
    (run / RECORD).write_text(json.dumps(record, indent=1) + "\n")
    if config.page:
        write_page(Path(config.page), page, record)
    return {"run": run, "shares": shares}


def learning_curve_page(record: Record) -> str:
    """Markdown: per task, horizon and measure one table of models by share."""
    versions, parts = record["versions"], record["shares"]
    sizes = [f"{own['histories']['train']:,}" for own in parts]
    rest = parts[-1]["histories"]
    text = [
        f"# {record['title']}, learning curve",
        f"Written by `{record['command']}` on {record['date']}, commit `{record['commit']}`, {record['machine']}, "
        f"torch {versions['torch']}, onnxruntime {versions['onnxruntime']}.",
        f"Protocol `{record['data']['protocol']}`, model `{record['model']}`. Every column is a training on so many "
        f"histories, the smaller within the larger; all validate on the same {rest['valid']:,} and are tested on "
        f"the same {rest['test']:,}. Brackets hold 95 % bootstrap intervals by history.",
    ]
    last = parts[-1]["metrics"]
    models = in_order(last)
    for task, result in last[models[0]].items():
        names = METRICS[result["kind"]]
        for horizon in result.get("horizons", {None: None}):
            for name in (own for own in _SHOWN if own in names):
                rows = []
                for model in (own for own in models if task in last[own]):
                    cells = [_cell(own["metrics"], model, task, horizon, name) for own in parts]
                    rows.append([SHOWN_MODELS.get(model, model), *cells])
                text += [f"## {', '.join(own for own in (task, horizon, names[name]) if own)}"]
                text += [table(("training histories", *sizes), rows)]
    return "\n\n".join(text) + "\n"


def _cell(metrics: dict[str, Any], model: str, task: str, horizon: str | None, name: str) -> str:
    result = metrics.get(model, {}).get(task, {})
    found = result if horizon is None else result.get("horizons", {}).get(horizon, {})
    return interval(found.get(name), 2 if name == "mae" else 3)


def main(config: DictConfig) -> dict[str, Any]:
    """Trains on every share."""
    return learning_curve(typed(config, LearningCurveConfig), HydraConfig.get().overrides.task)


@hydra.main(version_base="1.3", config_path="../conf", config_name="learning_curve")
def command(config: DictConfig) -> None:
    """Hydra entry point."""
    run_command(main, config)


if __name__ == "__main__":
    command()
