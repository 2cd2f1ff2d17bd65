"""`python -m training.train`: from raw events to a checked, measured bundle in one run folder.

The run folder holds config.yaml, data/, checkpoints/, tensorboard/, metrics.json, report.md and bundle/.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from forewarn.bundle import Bundle, Scorer
from forewarn.targets import TargetSpec
from training.baselines import fit_baselines
from training.command import run_command
from training.config import TrainConfig, typed
from training.export import export_bundle, record_metrics
from training.fit import fit
from training.measure import SplitRows, measure, measure_baseline, score_split
from training.metrics import headline
from training.prepare import ENCODED, Prepared, prepare
from training.report_page import report_page

log = logging.getLogger(__name__)
MODEL = "transformer"
_CONFIG, _RUN_VARIABLE = "config.yaml", "FOREWARN_RUN"


def train(config: TrainConfig) -> dict[str, Any]:
    """Runs a whole training; the result holds the folders written and the headline figures.

    Processes of a distributed run beyond the first only fit, and return an empty result.
    """
    run = Path(config.run)
    run.mkdir(parents=True, exist_ok=True)
    data = Path(config.data_folder) if config.data_folder else run / "data"
    first = os.environ.get("LOCAL_RANK", "0") == "0"
    if first:
        (run / _CONFIG).write_text(OmegaConf.to_yaml(OmegaConf.structured(config)))
        prepared = prepare(config, load_target(config), data)
    else:
        prepared = Prepared.load(data / ENCODED)
    fitted = fit(config, prepared, run)
    if not first:
        return {}
    shown = {name: fact for name, fact in fitted.facts.items() if name != "curve"}
    if not config.measure:
        (run / "metrics.json").write_text(
            json.dumps({"training": fitted.facts, "data": prepared.facts}, indent=2) + "\n"
        )
        return {"run": run, **shown}
    bundle = run / "bundle"
    manifest = export_bundle(fitted.model, prepared, bundle, config.precisions)
    test = SplitRows.load(prepared.split("test"), prepared.target)
    # What is measured is what is served: the scores of the bundle's own graph.
    scores = score_split(Scorer(Bundle.load(bundle)), test.histories, prepared.target)
    metrics = {MODEL: measure(prepared.target, test, scores, config.bootstrap, config.seed)}
    metrics |= baseline_metrics(prepared, test, config)
    record_metrics(bundle, metrics)
    facts = {"training": fitted.facts, "model_hash": manifest.model_hash, "parity": manifest.parity}
    whole = {"metrics": metrics, **facts, "data": prepared.facts}
    (run / "metrics.json").write_text(json.dumps(whole, indent=2) + "\n")
    report = report_page(f"{prepared.target.name} on {config.data.source}", metrics, Bundle.load(bundle).manifest)
    (run / "report.md").write_text(report)
    if config.report:
        Path(config.report).parent.mkdir(parents=True, exist_ok=True)
        Path(config.report).write_text(report)
    figures = {task: headline(result) for task, result in metrics[MODEL].items()}
    return {"run": run, "bundle": bundle, "model_hash": manifest.model_hash, "headline": figures, **shown}


def load_target(config: TrainConfig) -> TargetSpec:
    """The target named on the command line, or the data set's default."""
    name = config.target or config.data.default_target
    if name is None:
        raise ValueError(
            "target: found nothing, expected a name in conf/targets or the path of a target YAML; "
            "for example target=my_target.yaml"
        )
    return TargetSpec.load(name)


def baseline_metrics(prepared: Prepared, test: SplitRows, config: TrainConfig) -> dict[str, dict[str, Any]]:
    """Metrics of every baseline on the rows of the transformer."""
    if not config.baselines:
        return {}
    train, valid = (SplitRows.load(prepared.split(name), prepared.target).tasks for name in ("train", "valid"))
    metrics: dict[str, dict[str, Any]] = {name: {} for name in config.baselines}
    for task in prepared.target.tasks:
        log.info("fitting baselines of task %s", task.name)
        fitted = fit_baselines(train[task.name], valid[task.name], task, config.seed, config.baselines)
        for name, predict in fitted.items():
            metrics[name][task.name] = measure_baseline(task, predict, test, config.bootstrap, config.seed)
    return metrics


def resumed(config: TrainConfig) -> TrainConfig:
    """The configuration of the run to continue: the one in `run`, else the newest unfinished one beside it."""
    run = Path(config.run)
    candidates = [run] if (run / _CONFIG).is_file() else sorted(run.parent.glob(f"*/{_CONFIG}"), reverse=True)
    folders = [path if path.is_dir() else path.parent for path in candidates]
    unfinished = [folder for folder in folders if not (folder / "metrics.json").is_file()]
    if not unfinished:
        raise ValueError(
            f"resume: found no unfinished run in {run} or beside it, expected one; name its folder with run=…, "
            "or start a new run without resume"
        )
    saved: TrainConfig = typed(OmegaConf.load(unfinished[0] / _CONFIG), TrainConfig)  # type: ignore[arg-type]
    log.info("resuming %s with its own configuration", unfinished[0])
    return replace(saved, run=unfinished[0].as_posix())


def main(config: DictConfig) -> dict[str, Any]:
    """Trains, or continues a run with `resume=true`."""
    parsed: TrainConfig = typed(config, TrainConfig)
    if run := os.environ.get(_RUN_VARIABLE):  # a process that Lightning started for a distributed run
        parsed = replace(parsed, run=run)
    elif parsed.resume:
        parsed = resumed(parsed)
    elif HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN:
        # All jobs of a sweep start from one timestamp; their number keeps their folders apart.
        parsed = replace(parsed, run=f"{parsed.run}/{HydraConfig.get().job.num}")
    os.environ[_RUN_VARIABLE] = parsed.run
    try:
        return train(parsed)
    finally:
        del os.environ[_RUN_VARIABLE]  # the next job of a sweep has a run of its own


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def command(config: DictConfig) -> dict[str, Any]:
    """Hydra entry point; a study reads the result."""
    return run_command(main, config)


if __name__ == "__main__":
    command()
