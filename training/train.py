"""`python -m training.train`: from raw events to a checked, measured bundle in one run folder.

The run folder holds config.yaml, data/, checkpoints/, tensorboard/, metrics.json, report.md and bundle/.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from forewarn.bundle import Bundle, Manifest, Scorer
from forewarn.model import Ensemble, Scores, ScoresAndLogits, SequenceModel
from forewarn.model.scores import Calibration
from forewarn.sequence import RaggedDataset
from forewarn.targets import ClassificationTask
from training.baselines import FLAT, fit_again, fit_baselines
from training.calibration import calibrate
from training.command import is_first_process, make_folder, run_command
from training.config import SAVED, TrainConfig, saved_config, typed
from training.export import MEASURED, export_bundle, measured_graph, record_metrics
from training.fit import REFIT, check_machine, fit, refit, refuse_used
from training.hybrid import SAVED as HYBRID
from training.hybrid import Hybrid, fit_hybrid, scores_and_features
from training.lint import lint_run
from training.measure import SplitRows, TaskScores, score_split
from training.metrics import headline
from training.network_outputs import scored_by
from training.predictions import Predictions, save_predictions
from training.prepare import ENCODED, Prepared, data_folder, prepare
from training.recurrent_baseline import recurrent_baseline
from training.report_page import report_page
from training.results.record import REPORT, note_origin, run_record, write_page
from training.target import load_target
from training.weights import RowWeights

log = logging.getLogger(__name__)
_RUN_VARIABLE = "FOREWARN_RUN"


def train(config: TrainConfig) -> dict[str, Any]:
    """Runs a whole training; the result holds the folders written and the headline figures.

    Processes of a distributed run beyond the first only fit, and return an empty result.
    """
    run = Path(config.run)
    data = data_folder(config)
    first, refits = is_first_process(), config.refit and config.measure
    if first:
        check_machine(config.trainer)
        if not config.resume:
            refuse_used(run)
        make_folder(run, "run")
        if config.page:
            make_folder(Path(config.page).parent, "page")
        (run / SAVED).write_text(OmegaConf.to_yaml(OmegaConf.structured(config)))
        if not config.resume:  # a resumed run is still what its first command made it
            note_origin(run)
        prepared = prepare(config, load_target(config), data)
        leakage = lint_run(config, prepared, data)
        if refits:
            prepared.learning_from_all(run / REFIT)
    else:
        prepared = Prepared.load(data / ENCODED)
    fitted = fit(config, prepared, run)
    final = refit(config, prepared, fitted, run).model if refits else fitted.model
    if not first:
        return {}
    shown = {name: fact for name, fact in fitted.facts.items() if name not in ("curve", "members")}
    if not config.measure:
        (run / "metrics.json").write_text(
            json.dumps({"training": fitted.facts, "data": prepared.facts}, indent=2) + "\n"
        )
        return {"run": run, **shown}
    bundle, network = run / "bundle", config.model.backbone
    calibration = calibrate(fitted.model, prepared, config.weights)
    manifest = export_bundle(final, prepared, bundle, config.precisions, calibration=calibration)
    valid, test = (SplitRows.load(prepared.split(name), prepared.target) for name in ("valid", "test"))
    # What is measured is what is served: the scores of the bundle's own graph.
    chosen = scored_by(Scores(fitted.model, calibration), prepared.target) if config.refit else None
    said = {network: Predictions.of(served_by(bundle), prepared.target, valid, test, chosen=chosen)}
    if config.hybrid.enabled:
        said["hybrid"], manifest = ship_hybrid(config, prepared, fitted.model, final, calibration, valid, test, bundle)
    said |= baselines(prepared, valid, test, config)
    if config.predictions:
        save_predictions(run, said)
    metrics = {model: own.measured(prepared.target, test, config.bootstrap, config.seed) for model, own in said.items()}
    record_metrics(bundle, metrics)
    facts = {
        "training": fitted.facts,
        "model_hash": manifest.model_hash,
        "parity": manifest.parity,
        MEASURED: measured_graph(manifest),
    }
    whole = {"metrics": metrics, **facts, "data": prepared.facts, "lint": leakage}
    (run / "metrics.json").write_text(json.dumps(whole, indent=2) + "\n")
    record = run_record(run)
    report = report_page(record)
    (run / REPORT).write_text(report)
    if config.page:
        write_page(Path(config.page), report, record)
    figures = {task.name: headline(metrics[task.scorer][task.name]) for task in manifest.tasks}
    return {"run": run, "bundle": bundle, "model_hash": manifest.model_hash, "headline": figures, **shown}


def served_by(bundle: Path) -> Callable[[SplitRows], TaskScores]:
    """What a bundle's own graph says of rows."""
    scorer = Scorer(Bundle.load(bundle))
    return lambda rows: score_split(scorer, rows.histories, scorer.bundle.target)


def baselines(prepared: Prepared, checked: SplitRows, test: SplitRows, config: TrainConfig) -> dict[str, Predictions]:
    """What every baseline says of the rows of the transformer."""
    if not config.baselines:
        return {}
    weights = RowWeights.fit(config.weights, RaggedDataset(prepared.split("train")))
    train = SplitRows.load(prepared.split("train"), prepared.target, weights).tasks
    valid = SplitRows.load(prepared.split("valid"), prepared.target, weights).tasks
    flat = [name for name in config.baselines if name in FLAT]
    said = {name: Predictions() for name in flat}
    for task in prepared.target.tasks:
        log.info("fitting baselines of task %s", task.name)
        fitted = fit_baselines(train[task.name], valid[task.name], task, config.seed, flat, config.boosting)
        # Split by split, as the baselines share the features of the rows they asked for last.
        if isinstance(task, ClassificationTask):
            for name, baseline in fitted.items():
                said[name].weigh(task, baseline(checked.tasks[task.name]), checked)
        if config.refit:
            fitted = fit_again(fitted, train[task.name], valid[task.name], config.seed, config.boosting)
        for name, baseline in fitted.items():
            said[name].scores[task.name] = baseline(test.tasks[task.name])
            said[name].fitted[task.name] = baseline.facts
    if "gru" in config.baselines and config.model.backbone != "gru":
        log.info("training the GRU baseline")
        said["gru"] = recurrent_baseline(config, prepared, checked, test, Path(config.run) / "gru")
    return said


def ship_hybrid(
    config: TrainConfig,
    prepared: Prepared,
    network: SequenceModel | Ensemble,
    final: SequenceModel | Ensemble,
    calibration: dict[str, Calibration],
    valid: SplitRows,
    test: SplitRows,
    bundle: Path,
) -> tuple[Predictions, Manifest]:
    """Fits the hybrid, exports the bundle again with it where it wins; what it says, and the manifest then.

    It is fitted behind `network` and ships with `final`, which may have learned from the validation rows too.
    """
    run, target = Path(config.run), prepared.target
    chosen, shipped = (ScoresAndLogits(own, calibration).eval() for own in (network, final))
    fitted = fit_hybrid(config, prepared, chosen, run / "hybrid")
    manifest = Bundle.load(bundle).manifest

    def score(scores: ScoresAndLogits, hybrid: Hybrid, rows: SplitRows) -> TaskScores:
        said, features_ND = scores_and_features(scores, rows.histories)
        return hybrid.scores(target.tasks, features_ND, said)

    before, after = partial(score, chosen, fitted.hybrid), partial(score, shipped, fitted.final)
    said = Predictions.of(after, target, valid, test, fitted.facts, before)
    if fitted.wins:
        winner = fitted.final.only(fitted.wins)
        winner.save(run / HYBRID)
        manifest = export_bundle(final, prepared, bundle, config.precisions, calibration=calibration, hybrid=winner)
        served = served_by(bundle)(test)
        said.scores.update({name: served[name] for name in fitted.wins})
    return said, manifest


def resumed(run: Path, named: bool) -> TrainConfig:
    """The configuration of the run to continue: the one in `run` if it was `named`, else the newest unfinished beside.

    A name that was mistyped must not continue another run.
    """
    folders = [run] if named else sorted(run.parent.glob("*"), reverse=True)
    unfinished = [
        folder for folder in folders if (folder / SAVED).is_file() and not (folder / "metrics.json").is_file()
    ]
    if not unfinished:
        raise ValueError(
            f"resume: found no unfinished run in {run if named else run.parent}, expected one; name its folder with "
            "run=…, or start a new run without resume"
        )
    log.info("resuming %s with its own configuration", unfinished[0])
    return replace(saved_config(unfinished[0]), resume=True)


def main(config: DictConfig) -> dict[str, Any]:
    """Trains, or continues a run with `resume=true`."""
    parsed: TrainConfig = typed(config, TrainConfig)
    if run := os.environ.get(_RUN_VARIABLE):  # a process that Lightning started for a distributed run
        parsed = saved_config(Path(run))  # a resumed run's command line does not say what the first process found there
    elif parsed.resume:
        named = any(override.startswith("run=") for override in HydraConfig.get().overrides.task)
        parsed = resumed(Path(parsed.run), named)
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
