"""`python -m training.export run=…`: a bundle from a training run; also how the train command writes its own.

A bundle is built under a temporary name and renamed when every graph has passed its parity check, so a folder under a
bundle's name is complete.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import onnxruntime
from msgspec import structs
from numpy.typing import NDArray
from omegaconf import DictConfig

from forewarn.bundle import Bundle, Manifest, TaskOutputs, TextFacts, seal
from forewarn.bundle.bundle import FEATURIZER, TARGET, TEXT_FOLDER
from forewarn.bundle.manifest import MANIFEST, METRICS, MODEL_CARD
from forewarn.model import Ensemble, Scores, ScoresAndLogits, SequenceModel
from forewarn.model.scores import Calibration
from forewarn.sequence import SILENCE, RaggedDataset, collate
from training.calibration import calibrate
from training.command import run_command
from training.config import ExportConfig, saved_config, typed
from training.datamodule import encoded_row
from training.fit import final_network, load_network
from training.heads import task_outputs
from training.hybrid import SAVED as HYBRID
from training.hybrid import Hybrid
from training.hybrid_graph import check_trees, merge_trees
from training.metrics import headline
from training.model_card import model_card
from training.onnx_export import check_parity, export_graph
from training.prepare import ENCODED, Prepared, data_folder
from training.provenance import git_commit
from training.weights import WeightsConfig

log = logging.getLogger(__name__)
MEASURED = "graph_hash"  # in a run's metrics.json: the graph that its metrics were measured with
_YEAR_S = 365 * 86_400.0
_PARITY_HISTORIES = 64  # validation histories that every graph is checked on, beside single events


def export_bundle(
    model: SequenceModel | Ensemble,
    prepared: Prepared,
    destination: Path,
    precisions: list[str],
    provider: str = "cpu",
    calibration: dict[str, Calibration] | None = None,
    hybrid: Hybrid | None = None,
) -> Manifest:
    """Exports, checks and seals a bundle at `destination`, replacing a bundle that is there.

    The tasks that `hybrid` holds are scored by its trees behind the network. Without a `calibration` one is fitted on
    the validation rows, which `model` must then not have learned from.

    ValueError when a graph differs from torch by more than its limit; then nothing is written.
    """
    building, hybrids = _building(destination), hybrid.models if hybrid is not None else {}
    try:
        calibration = calibration or calibrate(model, prepared, WeightsConfig())
        scores = Scores(model, calibration)
        graphs, parity = {}, {}
        for precision in precisions:
            graphs[precision] = "sequence.onnx" if precision == "fp32" else f"sequence.{precision}.onnx"
            graph = building / graphs[precision]
            if hybrid is None:
                export_graph(scores, graph, precision)
                parity[precision] = check_parity(scores, graph, precision, _parity_feeds(prepared), provider)
            else:
                parity[precision] = _export_hybrid(scores, hybrid, prepared, graph, precision, provider)
        (building / FEATURIZER).write_text(json.dumps(prepared.featurizer.to_dict()))
        (building / TARGET).write_text(prepared.target.to_yaml())
        (building / "calibration.json").write_text(
            json.dumps({name: _given(own) for name, own in calibration.items()}, indent=2) + "\n"
        )
        manifest = seal_with(
            building,
            {},
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            git_commit=git_commit(),
            versions=versions(),
            tasks=[
                structs.replace(task_outputs(task), scorer="hybrid" if task.name in hybrids else model.config.backbone)
                for task in prepared.target.tasks
            ],
            graphs=graphs,
            text=_text(model, prepared, building),
            model=asdict(model.config),
            data=prepared.facts,
            parity=parity,
        )
        _publish(building, destination)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return manifest


def _export_hybrid(
    scores: Scores, hybrid: Hybrid, prepared: Prepared, graph: Path, precision: str, provider: str
) -> float:
    """Exports the network and its trees as one graph; the larger difference of the two checks."""
    whole = ScoresAndLogits(scores.model).eval()
    whole.load_state_dict(scores.state_dict())
    tasks, network = prepared.target.tasks, graph.with_suffix(".network.onnx")
    export_graph(whole, network, precision)
    parity = check_parity(scores, network, precision, _parity_feeds(prepared), provider)
    merge_trees(network, hybrid, tasks, prepared.input_shapes, graph)
    trees = check_trees(network, graph, hybrid, tasks, _parity_feeds(prepared), provider)
    network.unlink()
    return max(parity, trees)


def record_metrics(bundle: Path, metrics: dict[str, Any]) -> Manifest:
    """Gives a bundle its measured metrics and the model card that shows them; the model's hash stays what it was."""
    manifest = Bundle.load(bundle).manifest
    building = _building(bundle)
    try:
        # Hard links: the graphs are not copied, and a file to be written anew must first be let go of.
        shutil.copytree(bundle, building, copy_function=os.link, dirs_exist_ok=True)
        for name in (METRICS, MODEL_CARD, MANIFEST):
            (building / name).unlink()
        names = ("created", "git_commit", "versions", "graphs", "text", "model", "data", "parity")
        tasks = [_weighed(task, metrics.get(task.scorer, {}).get(task.name, {})) for task in manifest.tasks]
        kept = {name: getattr(manifest, name) for name in names}
        manifest = seal_with(building, metrics, tasks=tasks, **kept)
        _publish(building, bundle)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return manifest


def _weighed(task: TaskOutputs, measured: dict[str, Any]) -> TaskOutputs:
    return structs.replace(task, class_weights=measured.get("class_weights", []))


def measured_graph(manifest: Manifest) -> str | None:
    """SHA-256 of the graph that metrics come from, weights and calibration included; None for a bundle without it."""
    return manifest.files.get(manifest.graphs.get("fp32", ""))


def run_metrics(run: Path, manifest: Manifest) -> dict[str, Any]:
    """The metrics that a run measured with this very graph; empty when there are none."""
    path = run / METRICS
    recorded: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    graph = measured_graph(manifest)
    if graph is not None and recorded.get(MEASURED) == graph:
        metrics: dict[str, Any] = recorded["metrics"]
        return metrics
    if recorded:
        log.warning("the metrics in %s are of another model; measure this one: python -m training.evaluate", path)
    return {}


def seal_with(folder: Path, metrics: dict[str, Any], **facts: Any) -> Manifest:
    """Writes all metrics to metrics.json, and their headlines with the facts to the model card and the manifest."""
    (folder / METRICS).write_text(json.dumps(metrics, indent=2) + "\n")
    facts["metrics"] = {
        model: {task: headline(result) for task, result in own.items()} for model, own in metrics.items()
    }
    (folder / MODEL_CARD).write_text(model_card(facts))
    return seal(folder, **facts)


def _parity_feeds(prepared: Prepared) -> Iterator[dict[str, NDArray[Any]]]:
    """Real validation histories: one alone, its first event alone, and ragged batches."""
    dataset = RaggedDataset(prepared.split("valid"))
    chosen = np.linspace(0, len(dataset) - 1, min(_PARITY_HISTORIES, len(dataset)), dtype=np.int64)
    histories = [encoded_row(*dataset[int(i)]) for i in chosen]
    longest = sorted(histories, key=lambda history: -history.length)[:4]
    for number, batch in enumerate((histories[:1], [histories[0].take(slice(0, 1))], histories, longest)):
        feed: dict[str, NDArray[Any]] = collate(batch, aggregates=True, silence=True)
        # Any silence after any event, from none to a year: a graph must age as the network does.
        draw_BT = np.random.default_rng(number).random(feed[SILENCE].shape)
        feed[SILENCE] = np.expm1(draw_BT * math.log1p(_YEAR_S)).astype(np.float32)
        yield feed


def _text(model: SequenceModel | Ensemble, prepared: Prepared, folder: Path) -> TextFacts | None:
    """Copies a pre-trained text encoder into the bundle; facts of it or of the one in the network, None without."""
    network = model.member(0) if isinstance(model, Ensemble) else model
    learned, words = network.embedder.words, prepared.featurizer.words
    if learned is not None and words is not None:
        return TextFacts("learned", learned.width, words.max_words, len(words.words))
    if prepared.text_folder is None:
        return None
    # File by file: the cache's folder is private to its user, a bundle's is not.
    (folder / TEXT_FOLDER).mkdir()
    for path in prepared.text_folder.iterdir():
        shutil.copyfile(path, folder / TEXT_FOLDER / path.name)
    facts = json.loads((folder / TEXT_FOLDER / "text.json").read_text())
    return TextFacts(facts["source"], prepared.featurizer.text_width, facts["max_tokens"])


def _given(calibration: Calibration) -> dict[str, list[float]]:
    """What a calibration holds: one without ageing says nothing of it."""
    return {name: value for name, value in calibration._asdict().items() if value is not None}


def _building(destination: Path) -> Path:
    building = destination.with_name(f".{destination.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    return building


def _publish(building: Path, destination: Path) -> None:
    """Gives a finished folder its name; what was there steps aside first and goes last."""
    old = destination.with_name(f".{destination.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if destination.exists():
        if not (destination / MANIFEST).is_file():
            raise ValueError(f"bundle: found a folder {destination} that is no bundle, expected none; name another one")
        destination.rename(old)
    building.rename(destination)
    shutil.rmtree(old, ignore_errors=True)


def versions() -> dict[str, str]:
    """Versions of what made the graphs."""
    learning = ("forewarn", "torch", "pytorch-lightning", "lightgbm", "transformers", "numpy")
    found = {name: importlib.metadata.version(name) for name in (*learning, "onnx", "onnxmltools", "onnxscript")}
    return found | {"onnxruntime": onnxruntime.__version__}  # its distribution has another name on GPU nodes


def main(config: DictConfig) -> dict[str, Any]:
    """Exports the best checkpoint of a run."""
    export: ExportConfig = typed(config, ExportConfig)
    run = Path(export.run)
    trained = saved_config(run)
    prepared = Prepared.load(data_folder(trained) / ENCODED)
    calibration = calibrate(load_network(run), prepared, trained.weights)
    destination = Path(export.bundle) if export.bundle else run / "bundle"
    hybrid = Hybrid.load(run / HYBRID) if (run / HYBRID).is_file() else None
    manifest = export_bundle(
        final_network(run, trained), prepared, destination, export.precisions, export.provider, calibration, hybrid
    )
    if metrics := run_metrics(run, manifest):
        manifest = record_metrics(destination, metrics)
    return {"bundle": destination, "model_hash": manifest.model_hash, "parity": manifest.parity}


@hydra.main(version_base="1.3", config_path="../conf", config_name="export")
def command(config: DictConfig) -> None:
    """Hydra entry point."""
    run_command(main, config)


if __name__ == "__main__":
    command()
