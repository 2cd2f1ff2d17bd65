"""`python -m training.evaluate bundle=… data=…`: a bundle's own scores on a data set, measured under its own target.

With `suite=…` instead, kept results are trained, measured and held against their claims: `training.results`.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import hydra
import numpy as np
import polars as pl
from omegaconf import DictConfig, OmegaConf

from forewarn.bundle import Bundle, Scorer
from forewarn.bundle.manifest import METRICS
from training.command import make_folder, run_command
from training.config import EvaluateConfig, compose, typed
from training.encode import write_split
from training.evaluation.numbers import report_numbers
from training.evaluation.write import write_report
from training.labelled import LabelledSplits
from training.measure import SplitRows, as_labelled, measure, score_split
from training.metrics import headline
from training.provenance import origin
from training.remote import score_remote
from training.report_page import report_page
from training.results.claims import Entry, SuiteConfig
from training.results.record import REPORT, make_record, write_page
from training.results.suite import run_suite


def evaluate(config: EvaluateConfig) -> dict[str, Any]:
    """Scores one split of a data set with a bundle and writes metrics.json, report.md and, if asked, more.

    `scores` adds scores.parquet, `report` the whole evaluation as report.html and report.json. The scores come from the
    bundle's graph in this process, or with `url` from a service that serves the bundle.
    """
    bundle = Bundle.load(config.bundle)
    scorer = Scorer(bundle, config.provider, precision=config.precision)
    out = Path(config.out) if config.out else bundle.path.parent / f"evaluation-{config.split}"
    make_folder(out, "out")
    if config.page:
        make_folder(Path(config.page).parent, "page")
    with TemporaryDirectory(dir=out) as scratch:
        splits = LabelledSplits.open(config.data, bundle.target, config.protocol, Path(scratch) / "histories")
        path = Path(scratch) / f"{config.split}.arrow"
        counts = write_split(splits.labelled(config.split), bundle.featurizer, scorer.embed, path, config.split)
        rows = SplitRows.load(path, bundle.target)
        if config.url is None:
            scores = score_split(scorer, rows.histories, bundle.target)
        else:
            remote = score_remote(config.url, list(splits.visible(config.split)), bundle)
            scores = {task.name: as_labelled(task, remote[task.name]) for task in bundle.target.tasks}
        weights = {task.name: task.class_weights for task in bundle.manifest.tasks if task.class_weights}
        metrics = measure(bundle.target, rows, scores, config.bootstrap, class_weights=weights)
        if config.scores:
            write_scores(out / "scores.parquet", rows, scores)
        numbers = None
        if config.report:
            clock, resamples = config.data.clock != "none", config.bootstrap
            numbers = report_numbers(splits, config.split, scorer, rows, scores, clock=clock, resamples=resamples)
    scorers = {task.name: task.scorer for task in bundle.manifest.tasks}
    known = json.loads((bundle.path / METRICS).read_text())
    recorded = {task: known.get(scorer, {}).get(task) for task, scorer in scorers.items()}
    facts: dict[str, Any] = {"split": counts, "fingerprint": splits.store.fingerprint, "url": config.url}
    facts["difference"] = largest_change(metrics, recorded) if _same_rows(bundle, facts, config.split) else None
    (out / "metrics.json").write_text(json.dumps({"metrics": metrics, **facts}, indent=2) + "\n")
    title = f"{bundle.target.name} on {config.data.source}, {config.split} split"
    if config.url is not None:
        title += f", served over HTTP (largest difference to the bundle's own metrics: {facts['difference']})"
    results: dict[str, dict[str, Any]] = {scorer: {} for scorer in scorers.values()}
    for task, result in metrics.items():
        results[scorers[task]][task] = result
    record = make_record(title, results, bundle.manifest, origin())
    report = report_page(record)
    if numbers is not None:
        report += write_report(out, record, numbers, bundle)
    (out / REPORT).write_text(report)
    if config.page:
        write_page(Path(config.page), report, record)
    figures = {task: headline(result) for task, result in metrics.items()}
    return {
        "out": out, "bundle": bundle.path, "model_hash": bundle.model_hash, **counts,
        "headline": figures, "difference": facts["difference"],
    }  # fmt: skip


def _same_rows(bundle: Bundle, facts: dict[str, Any], split: str) -> bool:
    data = bundle.manifest.data
    return split == "test" and (facts["fingerprint"], facts["split"]) == (data["fingerprint"], data["splits"]["test"])


def largest_change(measured: dict[str, Any], recorded: dict[str, Any]) -> float:
    """Largest absolute difference between the values of two metric trees; infinite where `recorded` lacks one."""
    worst = 0.0
    for name, value in measured.items():
        other = recorded.get(name)
        if isinstance(value, dict):
            worst = max(worst, largest_change(value, other) if isinstance(other, dict) else float("inf"))
        elif name == "value" and value is not None:
            worst = max(worst, abs(value - other) if isinstance(other, float) else float("inf"))
    return worst


def write_scores(path: Path, rows: SplitRows, scores: dict[str, Any]) -> None:
    """One line per prefix: history_id, event (events of the history so far), prefix (those of its case), the scores.

    Scores are named "<task>.<number>".
    A prefix that two windows hold is scored by the first, of which it is no mere context.
    """
    lengths = [history.length for history in rows.histories]
    ids = np.repeat([history.history_id for history in rows.histories], lengths)
    event = np.concatenate([np.arange(1, n + 1) + start for n, start in zip(lengths, rows.starts, strict=True)])
    prefix = next(iter(rows.tasks.values())).prefix()
    columns: dict[str, Any] = {"history_id": ids, "event": event, "prefix": prefix}
    for task, values in scores.items():
        for number, column in enumerate(values.reshape(len(ids), -1).T):
            columns[f"{task}.{number}"] = column
    pl.DataFrame(columns).unique(["history_id", "event"], keep="first", maintain_order=True).write_parquet(path)


def main(config: DictConfig) -> dict[str, Any]:
    """Evaluates a bundle, or every entry of a suite."""
    if config.suite:
        chosen = OmegaConf.masked_copy(config, [own.name for own in fields(SuiteConfig)])
        return run_suite(typed(chosen, SuiteConfig), whole_suite())
    return evaluate(typed(config, EvaluateConfig))


def whole_suite() -> dict[str, Entry]:
    """Every entry there is, in the order of the summary."""
    known: dict[str, Entry] = compose("suite=all", "bundle=none", root="evaluate", kind=EvaluateConfig).suite
    return known


@hydra.main(version_base="1.3", config_path="../conf", config_name="evaluate")
def command(config: DictConfig) -> None:
    """Hydra entry point."""
    run_command(main, config)


if __name__ == "__main__":
    command()
