"""`python -m training.evaluate bundle=… data=…`: a bundle's own scores on a data set, measured under its own target."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hydra
import numpy as np
import polars as pl
from omegaconf import DictConfig

from forewarn.bundle import Bundle, Scorer
from training.command import run_command
from training.config import EvaluateConfig, typed
from training.measure import SplitRows, measure, score_split
from training.metrics import headline
from training.prepare import LabelledSplits, write_split
from training.report_page import report_page


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Scores one split of a data set with a bundle and writes metrics.json, report.md and, if asked, the scores."""
    bundle = Bundle.load(config.bundle)
    scorer = Scorer(bundle, config.provider, precision=config.precision)
    out = Path(config.out) if config.out else bundle.path.parent / f"evaluation-{config.split}"
    out.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out) as scratch:
        splits = LabelledSplits.open(config.data, bundle.target, config.protocol, Path(scratch) / "histories")
        path = Path(scratch) / f"{config.split}.arrow"
        counts = write_split(splits.labelled(config.split), bundle.featurizer, scorer.embed, path, config.split)
        rows = SplitRows.load(path, bundle.target)
        scores = score_split(scorer, rows.histories, bundle.target)
        metrics = measure(bundle.target, rows, scores, config.bootstrap)
        if config.scores:
            write_scores(out / "scores.parquet", rows, scores)
    (out / "metrics.json").write_text(json.dumps({"metrics": metrics, "split": counts}, indent=2) + "\n")
    title = f"{bundle.target.name} on {config.data.source}, {config.split} split"
    (out / "report.md").write_text(report_page(title, {"transformer": metrics}, bundle.manifest))
    figures = {task: headline(result) for task, result in metrics.items()}
    return {"out": out, "bundle": bundle.path, "model_hash": bundle.model_hash, **counts, "headline": figures}


def write_scores(path: Path, rows: SplitRows, scores: dict[str, Any]) -> None:
    """One line per prefix: history_id, prefix (events so far) and every task's scores as "<task>.<number>"."""
    ids = np.repeat([h.history_id for h in rows.histories], [h.length for h in rows.histories])
    prefix = np.concatenate([np.arange(1, h.length + 1) for h in rows.histories])
    columns: dict[str, Any] = {"history_id": ids, "prefix": prefix}
    for task, values in scores.items():
        for number, column in enumerate(values.reshape(len(ids), -1).T):
            columns[f"{task}.{number}"] = column
    pl.DataFrame(columns).write_parquet(path)


def main(config: DictConfig) -> dict[str, Any]:
    """Evaluates a bundle."""
    return evaluate(typed(config, EvaluateConfig))


@hydra.main(version_base="1.3", config_path="../conf", config_name="evaluate")
def command(config: DictConfig) -> None:
    """Hydra entry point."""
    run_command(main, config)


if __name__ == "__main__":
    command()
